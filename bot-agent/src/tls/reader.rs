//! Cursor over a value that is partly here.
//!
//! It knows how many bytes were declared and how many have arrived, so that running out is told
//! apart from a length that can never be right. It is the only place that splits hello bytes.

/// Why a read failed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Short {
    /// The bytes were declared but have not arrived.
    NotYet,
    /// The read goes beyond what was declared.
    Beyond,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Reader<'a> {
    bytes: &'a [u8],
    missing: usize,
}

impl<'a> Reader<'a> {
    /// A value of `declared` bytes of which `bytes` have arrived; surplus bytes are not looked at.
    pub(crate) fn new(bytes: &'a [u8], declared: usize) -> Self {
        let bytes = bytes.get(..declared).unwrap_or(bytes);
        Self {
            bytes,
            missing: declared - bytes.len(),
        }
    }

    /// Whether everything that was declared has been read.
    pub(crate) fn is_at_end(&self) -> bool {
        self.bytes.is_empty() && self.missing == 0
    }

    pub(crate) fn u8(&mut self) -> Result<u8, Short> {
        self.array::<1>().map(|[byte]| byte)
    }

    pub(crate) fn u16(&mut self) -> Result<u16, Short> {
        self.array().map(u16::from_be_bytes)
    }

    pub(crate) fn u24(&mut self) -> Result<usize, Short> {
        let [high, mid, low] = self.array()?;
        Ok(usize::from(high) << 16 | usize::from(mid) << 8 | usize::from(low))
    }

    /// The next `count` bytes, all of them.
    pub(crate) fn bytes(&mut self, count: usize) -> Result<&'a [u8], Short> {
        let Some((taken, rest)) = self.bytes.split_at_checked(count) else {
            return Err(self.shortage(count));
        };
        self.bytes = rest;
        Ok(taken)
    }

    /// A value of `count` bytes within this one; it may be partly here.
    pub(crate) fn nested(&mut self, count: usize) -> Result<Self, Short> {
        if count > self.bytes.len() + self.missing {
            return Err(Short::Beyond);
        }
        let (taken, rest) = self
            .bytes
            .split_at_checked(count)
            .unwrap_or((self.bytes, &[]));
        let missing = count - taken.len();
        self.bytes = rest;
        self.missing -= missing;
        Ok(Self {
            bytes: taken,
            missing,
        })
    }

    /// Everything that is left and here.
    pub(crate) fn remaining(self) -> &'a [u8] {
        self.bytes
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Short> {
        let Some((taken, rest)) = self.bytes.split_first_chunk::<N>() else {
            return Err(self.shortage(N));
        };
        self.bytes = rest;
        Ok(*taken)
    }

    fn shortage(&self, wanted: usize) -> Short {
        if wanted > self.bytes.len() + self.missing {
            Short::Beyond
        } else {
            Short::NotYet
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_told_apart_from_what_was_never_declared() {
        let mut reader = Reader::new(&[1, 2, 3], 5);
        assert_eq!(reader.u16(), Ok(0x0102));
        assert_eq!(reader.u16(), Err(Short::NotYet));
        assert_eq!(reader.bytes(4), Err(Short::Beyond));
        assert_eq!(reader.u8(), Ok(3));
        assert!(!reader.is_at_end());
        assert_eq!(reader.u8(), Err(Short::NotYet));
    }

    #[test]
    fn a_nested_value_takes_its_share_of_what_is_missing() {
        let mut outer = Reader::new(&[1, 2, 3], 10);
        let mut inner = outer.nested(6).unwrap();
        assert_eq!(inner.bytes(3), Ok(&[1, 2, 3][..]));
        assert_eq!(inner.bytes(3), Err(Short::NotYet));
        assert_eq!(inner.bytes(4), Err(Short::Beyond));
        assert_eq!(outer.bytes(4), Err(Short::NotYet));
        assert_eq!(outer.bytes(5), Err(Short::Beyond));
    }
}
