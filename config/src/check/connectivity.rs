//! Does `[connectivity]` make sense? A name that can be asked for, a page that can be fetched.

use super::lay;
use crate::diagnostic::Findings;
use crate::model::ConnectivityConfig;
use crate::name::DomainName;
use crate::raw::Table;
use crate::url::{Url, UrlError};

pub(super) fn connectivity(
    said: &Table,
    connectivity: &mut ConnectivityConfig,
    findings: &mut Findings<'_>,
) {
    lay(said.word("check"), &mut connectivity.check);
    lay(said.boolean("portal"), &mut connectivity.portal);
    lay(said.time("retry-max"), &mut connectivity.retry_max);
    if let Some([text]) = said.texts("name") {
        match text.get_ref().parse::<DomainName>() {
            Ok(name) if name.label_count() >= 2 => connectivity.name = Some(name),
            Ok(_) => {
                let message = "a name of one label says nothing of a network";
                let help = "write one that is signed, or leave it out";
                findings.error(Some(text.span()), message, Some(help.to_owned()));
            }
            Err(error) => {
                let help = "write a name, as probe.example".to_owned();
                findings.error(Some(text.span()), error.to_string(), Some(help));
            }
        }
    }
    if let Some([text]) = said.texts("url") {
        match text.get_ref().parse::<Url>() {
            Ok(url) => connectivity.url = Some(url),
            Err(error) => {
                let help = match error {
                    UrlError::User => "leave the user out: nobody logs in",
                    UrlError::Scheme
                    | UrlError::TooLong
                    | UrlError::Character
                    | UrlError::Host
                    | UrlError::Port => "write it as https://probe.example/ok",
                };
                let message = format!("\"{}\" is no page: {error}", text.get_ref());
                findings.error(Some(text.span()), message, Some(help.to_owned()));
            }
        }
    }
}
