//! Bytes from the network as one line of text that a terminal, a TSV cell and a log can hold.

use std::fmt::Write as _;

/// The bytes as text, without loss: UTF-8 as it is, except that a backslash is doubled and control
/// characters and bytes that are not UTF-8 become `\xNN`.
pub fn escape(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        for character in chunk.valid().chars() {
            match character {
                '\\' => text.push_str("\\\\"),
                _ if character.is_control() => {
                    push_hex(&mut text, character.encode_utf8(&mut [0; 4]).as_bytes());
                }
                _ => text.push(character),
            }
        }
        push_hex(&mut text, chunk.invalid());
    }
    text
}

fn push_hex(text: &mut String, bytes: &[u8]) {
    for byte in bytes {
        // Writing to a String cannot fail.
        write!(text, "\\x{byte:02x}").unwrap_or_default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_stays_and_everything_else_is_spelled_out() {
        assert_eq!(escape(b"example.com"), "example.com");
        assert_eq!(escape("bücher.example".as_bytes()), "bücher.example");
        assert_eq!(escape(b"a\tb\\c\x1b[0m\xff"), "a\\x09b\\\\c\\x1b[0m\\xff");
    }
}
