//! Files of operators as text: UTF-8, or a message that says where it is not and what to do.

use thiserror::Error;

/// A file that is no text.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
pub(super) enum NotText {
    /// Windows programs call this "Unicode".
    #[error(
        "it is UTF-16, from line 1 on: save it as UTF-8 (or: iconv -f UTF-16 -t UTF-8); nothing was changed"
    )]
    Utf16,
    /// Anything else that is not UTF-8.
    #[error(
        "line {0} is not UTF-8 text: give a text file with an address or network a line, saved as UTF-8 \
         (unpack it first if it is compressed); nothing was changed"
    )]
    Line(usize),
}

/// The text that a file has.
pub(super) fn text_of(bytes: Vec<u8>) -> Result<String, NotText> {
    if bytes.starts_with(&[0xff, 0xfe]) || bytes.starts_with(&[0xfe, 0xff]) {
        return Err(NotText::Utf16);
    }
    let text = String::from_utf8(bytes).map_err(|error| {
        let good = error.utf8_error().valid_up_to();
        let before = error.as_bytes().get(..good).unwrap_or_default();
        NotText::Line(line_after(before))
    })?;
    // UTF-8 all the same, but no text: binary data, or UTF-16 without its mark.
    match text.split_once('\0') {
        Some((before, _)) => Err(NotText::Line(line_after(before.as_bytes()))),
        None => Ok(text),
    }
}

fn line_after(before: &[u8]) -> usize {
    before.split(|byte| *byte == b'\n').count()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(bytes: &[u8]) -> String {
        text_of(bytes.to_vec()).unwrap_err().to_string()
    }

    #[test]
    fn text_is_read_as_it_is() {
        for text in ["", "192.0.2.7\n", "\u{feff}192.0.2.7 # caf\u{e9}\r\n"] {
            assert_eq!(text_of(text.into()).unwrap(), text);
        }
    }

    #[test]
    fn the_first_line_that_is_no_text_is_named() {
        let latin = refusal(b"192.0.2.7\n192.0.2.8 # caf\xe9\n\xff\n");
        assert!(latin.starts_with("line 2 is not UTF-8 text"), "{latin}");
        assert!(latin.ends_with("nothing was changed"), "{latin}");
        let binary = refusal(b"192.0.2.7\n\n\x00\x01");
        assert!(binary.starts_with("line 3 is not UTF-8 text"), "{binary}");
        assert!(refusal(b"\x1f\x8b\x08").contains("compressed"));
    }

    #[test]
    fn utf_16_is_called_by_its_name() {
        for bytes in [b"\xff\xfe1\x00", b"\xfe\xff\x001"] {
            assert!(refusal(bytes).contains("iconv -f UTF-16"));
        }
        // Without its mark it is full of zeros.
        assert!(refusal(b"1\x00.\x00").starts_with("line 1"));
    }
}
