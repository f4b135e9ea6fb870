//! Lines of bounded length from an asynchronous stream.

use std::io;

use tokio::io::{AsyncBufRead, AsyncBufReadExt};

/// Why there is no next line.
#[derive(Debug)]
pub enum LineError {
    /// The stream failed.
    Io(io::Error),
    /// More than the limit came without a line end.
    TooLong,
}

/// The next line without its end; `None` at the end of the stream, where half a line is dropped.
pub async fn next_line<R: AsyncBufRead + Unpin>(
    reader: &mut R,
    limit: usize,
) -> Result<Option<Vec<u8>>, LineError> {
    let mut line = Vec::new();
    loop {
        let available = reader.fill_buf().await.map_err(LineError::Io)?;
        if available.is_empty() {
            return Ok(None);
        }
        let end = available.iter().position(|byte| *byte == b'\n');
        let part = available
            .get(..end.unwrap_or(available.len()))
            .unwrap_or_default();
        if line.len() + part.len() > limit {
            return Err(LineError::TooLong);
        }
        line.extend_from_slice(part);
        let used = part.len() + usize::from(end.is_some());
        reader.consume(used);
        if end.is_some() {
            return Ok(Some(line));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn lines(mut input: &[u8], limit: usize) -> (Vec<String>, bool) {
        let mut lines = Vec::new();
        loop {
            match next_line(&mut input, limit).await {
                Ok(Some(line)) => lines.push(String::from_utf8(line).unwrap()),
                Ok(None) => return (lines, true),
                Err(_) => return (lines, false),
            }
        }
    }

    #[tokio::test]
    async fn half_a_line_is_no_line() {
        assert_eq!(
            lines(b"a\n\nbc\nhalf", 9).await,
            (vec!["a".into(), String::new(), "bc".into()], true)
        );
        assert_eq!(lines(b"", 9).await, (vec![], true));
    }

    #[tokio::test]
    async fn a_line_may_be_as_long_as_the_limit_and_no_longer() {
        assert_eq!(lines(b"1234\n", 4).await, (vec!["1234".into()], true));
        assert_eq!(lines(b"ok\n12345\n", 4).await, (vec!["ok".into()], false));
        assert_eq!(lines(b"12345", 4).await, (vec![], false));
    }
}
