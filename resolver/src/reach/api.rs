//! What does a portal say of us? Its answer by RFC 8908.
//!
//! Whoever answers may be a stranger: what is not as the RFC has it is an error, and addresses that cannot be shown are left out.

use std::time::Duration;

use config::url::Url;
use serde::Deserialize;

use super::http::Reply;

/// The longest that a session is believed to last.
const SESSION_MAX: Duration = Duration::from_secs(7 * 86_400);

/// What a portal says.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PortalWord {
    /// Whether a person has to do something first.
    pub captive: bool,
    /// Where a person does it.
    pub user_portal: Option<Url>,
    /// Where there is something to read about the place.
    pub venue: Option<Url>,
    /// Whether it is worth a visit to stay longer.
    pub can_extend: bool,
    /// How long it lasts.
    pub remaining: Option<Duration>,
}

/// Why an answer says nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PortalError {
    /// A status other than success.
    #[error("it answers with HTTP status {0}")]
    Status(u16),
    /// Something of another media type.
    #[error("it answers with something other than application/captive+json")]
    Type,
    /// It is not what RFC 8908 §5 says.
    #[error("its answer does not read as RFC 8908 has it")]
    Malformed,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Said {
    captive: bool,
    user_portal_url: Option<String>,
    venue_info_url: Option<String>,
    can_extend_session: Option<bool>,
    seconds_remaining: Option<f64>,
}

impl PortalWord {
    /// Reads an answer.
    ///
    /// # Errors
    /// [`PortalError`].
    pub fn read(reply: &Reply) -> Result<Self, PortalError> {
        if reply.status != 200 {
            return Err(PortalError::Status(reply.status));
        }
        // RFC 8908 §4.1; servers that know the form and not its name are many.
        if !matches!(
            reply.content_type.as_str(),
            "application/captive+json" | "application/json"
        ) {
            return Err(PortalError::Type);
        }
        let said: Said = serde_json::from_slice(&reply.body).map_err(|_| PortalError::Malformed)?;
        // RFC 8908 §5: both are pages behind TLS.
        let page = |text: Option<String>| {
            let url = text.and_then(|text| text.parse::<Url>().ok());
            url.filter(|url| url.secure)
        };
        let remaining = said.seconds_remaining.filter(|seconds| *seconds >= 0.0);
        Ok(Self {
            captive: said.captive,
            user_portal: page(said.user_portal_url),
            venue: page(said.venue_info_url),
            can_extend: said.can_extend_session.unwrap_or(false),
            remaining: remaining
                .map(|seconds| Duration::from_secs_f64(seconds.min(SESSION_MAX.as_secs_f64()))),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reply(body: &str) -> Reply {
        Reply {
            status: 200,
            content_type: "application/captive+json".to_owned(),
            location: None,
            body: body.as_bytes().to_vec(),
        }
    }

    #[test]
    fn the_example_of_the_rfc_reads() {
        let word = PortalWord::read(&reply(
            r#"{ "captive": false, "user-portal-url": "https://example.org/portal.html",
                 "venue-info-url": "https://flight.example.com/entertainment",
                 "seconds-remaining": 326, "can-extend-session": true, "bytes-remaining": 7 }"#,
        ))
        .unwrap();
        assert_eq!(
            (word.captive, word.can_extend, word.remaining),
            (false, true, Some(Duration::from_secs(326)))
        );
        let portal = word.user_portal.unwrap().to_string();
        assert_eq!(portal, "https://example.org/portal.html");
        assert!(word.venue.is_some());
    }

    #[test]
    fn what_is_not_as_it_should_be_is_an_error_or_left_out() {
        for body in [
            "",
            "[]",
            "{}",
            r#"{"captive": "yes"}"#,
            r#"{"captive": true"#,
            "\u{0}",
        ] {
            assert_eq!(
                PortalWord::read(&reply(body)),
                Err(PortalError::Malformed),
                "{body}"
            );
        }
        let deep = format!("{{\"captive\": true, \"x\": {}", "[".repeat(10_000));
        assert_eq!(PortalWord::read(&reply(&deep)), Err(PortalError::Malformed));
        let word = PortalWord::read(&reply(
            r#"{"captive": true, "user-portal-url": "http://portal.test/", "venue-info-url": "javascript:alert(1)", "seconds-remaining": 1e300}"#,
        ))
        .unwrap();
        assert_eq!((word.user_portal, word.venue), (None, None));
        assert_eq!(word.remaining, Some(SESSION_MAX));
        let word = PortalWord::read(&reply(r#"{"captive": true, "seconds-remaining": -5}"#));
        assert_eq!(word.unwrap().remaining, None);
        let html = Reply {
            content_type: "text/html".to_owned(),
            ..reply("{}")
        };
        assert_eq!(PortalWord::read(&html), Err(PortalError::Type));
        let moved = Reply {
            status: 302,
            ..reply("{}")
        };
        assert_eq!(PortalWord::read(&moved), Err(PortalError::Status(302)));
    }
}
