//! Secrets: read from files when they are needed, and shown to nobody.

use std::{
    fmt,
    io::{self, Read as _},
    path::{Component, Path, PathBuf},
};

use reqwest::header::HeaderValue;

use super::file;

/// Longest content of a file with a secret.
const LONGEST: u64 = 16 << 10;
/// What may stand before the name of a systemd credential.
const CREDENTIAL: &str = "credential:";

/// A secret. It has no text of its own, so that it ends up in no log.
#[derive(Clone, Eq, PartialEq)]
pub struct Secret(String);

/// Why there is no secret. Its text names the file only.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// The file cannot be read.
    #[error("the secret in {}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A name, and no folder to look in.
    #[error(
        "the secret `{}` would be a systemd credential, but $CREDENTIALS_DIRECTORY is not set; add \
         LoadCredential= to the unit, or name a file by its whole path", .0.display()
    )]
    NoFolder(PathBuf),
    /// A credential's name with a folder in it.
    #[error("the secret `{}` is neither a whole path nor the name of a systemd credential", .0.display())]
    Name(PathBuf),
    /// Nothing in it, or more than a secret.
    #[error("the secret in {}: it must be one line of 1 to {LONGEST} printable characters", .0.display())]
    Content(PathBuf),
    /// Not a user with a password.
    #[error("the secret in {}: it must be user:password", .0.display())]
    NoPassword(PathBuf),
}

impl Secret {
    /// Reads a secret. `path` is a whole path, or the name of a systemd credential in the folder
    /// `credentials`, which `credential:` may stand before.
    pub fn read(path: &Path, credentials: Option<&Path>) -> Result<Self, SecretError> {
        let path = place(path, credentials)?;
        let content = content(&path);
        let content = content.map_err(|source| SecretError::Io {
            path: path.clone(),
            source,
        })?;
        let text = content.trim();
        let good = !text.is_empty() && text.bytes().all(|byte| (0x20..0x7f).contains(&byte));
        if !good || content.len() as u64 > LONGEST {
            return Err(SecretError::Content(path));
        }
        Ok(Self(text.to_owned()))
    }

    /// The value of a header field: the secret behind `prefix`. Marked, so that no library shows it.
    pub(super) fn header(&self, prefix: &str) -> Option<HeaderValue> {
        let mut value = HeaderValue::try_from(format!("{prefix}{}", self.0)).ok()?;
        value.set_sensitive(true);
        Some(value)
    }

    /// User and password, where it is both.
    pub(super) fn user_and_password(&self) -> Option<(&str, &str)> {
        self.0.split_once(':')
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(...)")
    }
}

fn place(path: &Path, credentials: Option<&Path>) -> Result<PathBuf, SecretError> {
    if path.is_absolute() {
        return Ok(path.to_owned());
    }
    let name = path
        .to_str()
        .map(|text| text.strip_prefix(CREDENTIAL).unwrap_or(text));
    let name = name
        .map(Path::new)
        .ok_or_else(|| SecretError::Name(path.to_owned()))?;
    let mut parts = name.components();
    if !matches!(
        (parts.next(), parts.next()),
        (Some(Component::Normal(_)), None)
    ) {
        return Err(SecretError::Name(path.to_owned()));
    }
    let folder = credentials.ok_or_else(|| SecretError::NoFolder(path.to_owned()))?;
    Ok(folder.join(name))
}

fn content(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    // One byte more than may be there tells what is too long.
    file::open(path)?
        .take(LONGEST + 1)
        .read_to_string(&mut text)?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn read(content: &[u8]) -> Result<Secret, SecretError> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secret");
        fs::write(&path, content).unwrap();
        Secret::read(&path, None)
    }

    #[test]
    fn white_space_around_a_secret_is_not_of_it() {
        assert_eq!(
            read(b" pass word\r\n").unwrap(),
            Secret("pass word".to_owned())
        );
    }

    #[test]
    fn what_no_header_can_carry_is_refused_and_not_shown() {
        let long = vec![b'x'; 17 << 10];
        for content in [
            b"".as_slice(),
            b" \n",
            b"hush\nhush",
            b"h\xc3\xbcsh",
            b"hush\xff",
            &long,
        ] {
            let error = read(content).unwrap_err();
            let text = format!("{error} {error:?}");
            assert!(text.contains("/secret"), "{text}");
            assert!(!text.contains("hush") && !text.contains("xxx"), "{text}");
        }
    }

    #[test]
    fn names_are_credentials_of_systemd() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("key"), "hush").unwrap();
        for name in ["key", "credential:key"] {
            assert!(Secret::read(Path::new(name), Some(folder.path())).is_ok());
            let error = Secret::read(Path::new(name), None).unwrap_err();
            assert!(error.to_string().contains("LoadCredential="), "{error}");
        }
        for name in [
            "../key",
            "a/key",
            "credential:",
            "credential:../key",
            "",
            ".",
        ] {
            let error = Secret::read(Path::new(name), Some(folder.path())).unwrap_err();
            assert!(matches!(error, SecretError::Name(_)), "{name}: {error}");
        }
    }

    #[test]
    fn a_secret_has_no_text() {
        let secret = read(b"hush:hush").unwrap();
        let header = secret.header("Bearer ").unwrap();
        assert_eq!(header.as_bytes(), b"Bearer hush:hush");
        let text = format!("{secret:?} {header:?}");
        assert!(!text.contains("hush"), "{text}");
        assert_eq!(secret.user_and_password(), Some(("hush", "hush")));
    }
}
