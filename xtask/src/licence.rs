//! SPDX licence expressions, as far as crates use them.

use anyhow::{Result, bail};

/// Does a set of accepted licences satisfy the expression?
///
/// `AND`, `OR`, `WITH` and brackets; the old `MIT/Apache-2.0` means `OR`.
/// A licence with an exception must be accepted under its full name.
pub(crate) fn satisfied(expression: &str, accepted: &dyn Fn(&str) -> bool) -> Result<bool> {
    let mut parser = Parser {
        words: words(expression),
        next: 0,
        accepted,
    };
    let answer = parser.alternatives()?;
    if let Some(word) = parser.peek() {
        bail!("unexpected `{word}` in the licence `{expression}`");
    }
    Ok(answer)
}

struct Parser<'a> {
    words: Vec<String>,
    next: usize,
    accepted: &'a dyn Fn(&str) -> bool,
}

impl Parser<'_> {
    fn alternatives(&mut self) -> Result<bool> {
        let mut answer = self.conjunction()?;
        while self.eat("OR") {
            answer |= self.conjunction()?;
        }
        Ok(answer)
    }

    fn conjunction(&mut self) -> Result<bool> {
        let mut answer = self.licence()?;
        while self.eat("AND") {
            answer &= self.licence()?;
        }
        Ok(answer)
    }

    fn licence(&mut self) -> Result<bool> {
        if self.eat("(") {
            let answer = self.alternatives()?;
            if !self.eat(")") {
                bail!("a bracket stays open in a licence expression");
            }
            return Ok(answer);
        }
        let mut name = self.word()?;
        if self.eat("WITH") {
            name = format!("{name} WITH {}", self.word()?);
        }
        Ok((self.accepted)(&name))
    }

    fn word(&mut self) -> Result<String> {
        match self.peek() {
            Some(word) if !["AND", "OR", "WITH", "(", ")"].contains(&word) => {
                let word = word.to_owned();
                self.next += 1;
                Ok(word)
            }
            _ => bail!("a licence name is missing in a licence expression"),
        }
    }

    fn eat(&mut self, expected: &str) -> bool {
        let found = self.peek() == Some(expected);
        self.next += usize::from(found);
        found
    }

    fn peek(&self) -> Option<&str> {
        self.words.get(self.next).map(String::as_str)
    }
}

fn words(expression: &str) -> Vec<String> {
    expression
        .replace('(', " ( ")
        .replace(')', " ) ")
        .replace('/', " OR ")
        .split_whitespace()
        .map(str::to_owned)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with_mit_and_bsd(expression: &str) -> bool {
        satisfied(expression, &|name| ["MIT", "BSD-3-Clause"].contains(&name)).unwrap()
    }

    #[test]
    fn expressions() {
        for (expression, expected) in [
            ("MIT", true),
            ("Apache-2.0", false),
            ("MIT OR Apache-2.0", true),
            ("MIT/Apache-2.0", true),
            ("MIT AND Apache-2.0", false),
            ("MIT AND BSD-3-Clause", true),
            ("(Apache-2.0 OR MIT) AND BSD-3-Clause", true),
            ("Apache-2.0 OR MIT AND Zlib", false),
            ("MIT WITH LLVM-exception", false),
        ] {
            assert_eq!(with_mit_and_bsd(expression), expected, "{expression}");
        }
    }

    #[test]
    fn nonsense_is_an_error_and_no_licence() {
        for expression in ["", "MIT OR", "(MIT", "MIT)", "AND", "MIT Apache-2.0"] {
            assert!(satisfied(expression, &|_| true).is_err(), "{expression}");
        }
    }
}
