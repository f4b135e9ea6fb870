//! Who we are to a web server, and whom we believe to be one.

use std::{path::Path, sync::Arc};

use reqwest::{
    Certificate, RequestBuilder,
    header::{HeaderMap, HeaderName, HeaderValue},
};

use super::{
    client,
    error::Why,
    secret::{Secret, SecretError},
};
use crate::{config::Http, rules::prefix::quoted};

/// Makes a header field of the secret in `bearer`.
pub(super) type Bearer = fn(&Secret) -> Option<(HeaderName, HeaderValue)>;

/// Who we are, and whom we believe. Read from files for each fetch, so that they can be replaced.
pub(super) struct Trust {
    secrets: HeaderMap,
    basic: Option<Secret>,
    /// Authorities besides the system's.
    pub(super) ca: Arc<[Certificate]>,
}

impl Trust {
    /// Reads what a feed is configured with.
    pub(super) fn read(
        http: &Http,
        bearer: Bearer,
        credentials: Option<&Path>,
    ) -> Result<Self, Why> {
        let mut secrets = HeaderMap::new();
        for (name, path) in &http.headers {
            let value = Secret::read(path, credentials)?.header("");
            let value = value.ok_or_else(|| SecretError::Content(path.clone()))?;
            let name = HeaderName::try_from(name).map_err(|_| Why::Header(quoted(name)))?;
            secrets.append(name, value);
        }
        if let Some(path) = &http.bearer {
            let field = bearer(&Secret::read(path, credentials)?);
            let (name, value) = field.ok_or_else(|| SecretError::Content(path.clone()))?;
            secrets.insert(name, value);
        }
        let basic = match &http.basic {
            Some(path) => {
                let secret = Secret::read(path, credentials)?;
                if secret.user_and_password().is_none() {
                    return Err(SecretError::NoPassword(path.clone()).into());
                }
                Some(secret)
            }
            None => None,
        };
        let ca = http.ca.as_deref().map(client::certificates).transpose()?;
        Ok(Self {
            secrets,
            basic,
            ca: ca.unwrap_or_default().into(),
        })
    }

    /// Says who we are.
    pub(super) fn vouch(&self, request: RequestBuilder) -> RequestBuilder {
        let request = request.headers(self.secrets.clone());
        match self.basic.as_ref().and_then(Secret::user_and_password) {
            Some((user, password)) => request.basic_auth(user, Some(password)),
            None => request,
        }
    }
}
