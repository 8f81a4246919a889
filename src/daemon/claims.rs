//! Who claims what at run time? [`Claims`]: what callers of the control interface said, checked, until they withdraw it.
//!
//! A claim belongs to the connection that made it and goes with it, unless it is persistent: those are kept in a file, whose
//! text is made and read here. Opens no file.

use std::collections::BTreeMap;
use std::str::FromStr;
use std::sync::Arc;

use config::model::{DefaultUse, DnsSettings, WhenDown};
use linnet::api::{ClaimParameters, ClaimStatus};
use policy::Owner;
use policy::facts::{RuntimeLayer, Trust};

use crate::control::Caller;
use crate::input::ConnectionId;

/// The most claims at a time.
const MAX_CLAIMS: usize = 256;
/// The longest name of a claim, in octets.
const MAX_OWNER: usize = 64;
/// The longest name of a link, in octets (IFNAMSIZ without the final NUL).
const MAX_LINK: usize = 15;
/// The most entries of one list in a claim.
const MAX_ENTRIES: usize = 1024;

/// The claims in force, by name.
#[derive(Debug, Default)]
pub(crate) struct Claims {
    claim_by_name: BTreeMap<Arc<str>, Claim>,
}

#[derive(Debug)]
struct Claim {
    layer: RuntimeLayer,
    parameters: ClaimParameters,
    /// The connection that it goes with; `None` for a persistent one.
    connection: Option<ConnectionId>,
    caller: String,
}

/// A persistent claim in its file.
#[derive(Debug, serde::Serialize, serde::Deserialize)]
struct Kept {
    caller: String,
    claim: ClaimParameters,
}

/// What is wrong with a claim, a sentence each.
pub(crate) type Mistakes = Vec<String>;

impl Claims {
    /// Makes a claim, or replaces the one of the same name.
    ///
    /// # Errors
    /// Every mistake; nothing has changed then.
    pub(crate) fn make(
        &mut self,
        parameters: ClaimParameters,
        connection: ConnectionId,
        caller: &Caller,
    ) -> Result<(), Mistakes> {
        let connection = (!parameters.persistent).then_some(connection);
        self.insert(parameters, connection, caller.to_string())
    }

    /// Ends a claim; returns whether there was one.
    pub(crate) fn withdraw(&mut self, name: &str) -> bool {
        self.claim_by_name.remove(name).is_some()
    }

    /// Returns how many there are.
    pub(crate) fn len(&self) -> usize {
        self.claim_by_name.len()
    }

    /// Ends the claims of a connection; returns whether there were any.
    pub(crate) fn withdraw_connection(&mut self, connection: ConnectionId) -> bool {
        let before = self.claim_by_name.len();
        self.claim_by_name
            .retain(|_, claim| claim.connection != Some(connection));
        self.claim_by_name.len() < before
    }

    /// Returns the layers, as policy takes them.
    pub(crate) fn layers(&self) -> BTreeMap<Owner, RuntimeLayer> {
        self.claim_by_name
            .iter()
            .map(|(name, claim)| (Owner::Claim(Arc::clone(name)), claim.layer.clone()))
            .collect()
    }

    /// Returns the claims, as `status` tells them.
    pub(crate) fn status(&self) -> Vec<ClaimStatus> {
        self.claim_by_name
            .values()
            .map(|claim| ClaimStatus {
                owner: claim.parameters.owner.clone(),
                link: claim.parameters.link.clone(),
                claims: claim
                    .layer
                    .dns
                    .claims
                    .iter()
                    .map(ToString::to_string)
                    .collect(),
                persistent: claim.parameters.persistent,
                caller: claim.caller.clone(),
            })
            .collect()
    }

    /// Returns the text of the file of persistent claims.
    pub(crate) fn to_file(&self) -> String {
        let kept: Vec<Kept> = self
            .claim_by_name
            .values()
            .filter(|claim| claim.parameters.persistent)
            .map(|claim| Kept {
                caller: claim.caller.clone(),
                claim: claim.parameters.clone(),
            })
            .collect();
        serde_json::to_string_pretty(&kept).expect("claims are plain JSON") + "\n"
    }

    /// Takes up the persistent claims of an earlier life.
    ///
    /// # Errors
    /// What could not be taken up; the rest is in force.
    pub(crate) fn restore(&mut self, text: &str) -> Result<(), Mistakes> {
        let kept: Vec<Kept> =
            serde_json::from_str(text).map_err(|error| vec![error.to_string()])?;
        let mut mistakes = Vec::new();
        for Kept { caller, claim } in kept {
            let owner = claim.owner.clone();
            if let Err(found) = self.insert(claim, None, caller) {
                mistakes.extend(found.iter().map(|mistake| format!("{owner}: {mistake}")));
            }
        }
        if mistakes.is_empty() {
            Ok(())
        } else {
            Err(mistakes)
        }
    }

    fn insert(
        &mut self,
        parameters: ClaimParameters,
        connection: Option<ConnectionId>,
        caller: String,
    ) -> Result<(), Mistakes> {
        let layer = check(&parameters)?;
        let name: Arc<str> = parameters.owner.as_str().into();
        if !self.claim_by_name.contains_key(&name) && self.claim_by_name.len() >= MAX_CLAIMS {
            return Err(vec![format!("there are {MAX_CLAIMS} claims already")]);
        }
        let claim = Claim {
            layer,
            parameters,
            connection,
            caller,
        };
        self.claim_by_name.insert(name, claim);
        Ok(())
    }
}

/// Turns what was said into what it means.
fn check(parameters: &ClaimParameters) -> Result<RuntimeLayer, Mistakes> {
    let mut mistakes = Vec::new();
    let ClaimParameters {
        owner,
        link,
        upstreams,
        claims,
        search,
        exclude,
        default,
        when_down,
        priority,
        persistent: _,
    } = parameters;
    if owner.is_empty()
        || owner.len() > MAX_OWNER
        || owner.contains(|c: char| !c.is_ascii_graphic())
    {
        mistakes.push(format!(
            "owner: a name of 1 to {MAX_OWNER} printable ASCII characters without spaces is needed"
        ));
    }
    if let Some(link) = link
        && (link.is_empty() || link.len() > MAX_LINK || link.contains(['/', ' ']))
    {
        mistakes.push(format!("link: {link:?} cannot be the name of a link"));
    }
    let dns = DnsSettings {
        upstreams: list("upstreams", upstreams, &mut mistakes),
        claims: list("claims", claims, &mut mistakes),
        search: list("search", search, &mut mistakes),
        exclude: list("exclude", exclude, &mut mistakes),
        default: choice(
            "default",
            default.as_deref(),
            &[
                ("auto", DefaultUse::Auto),
                ("yes", DefaultUse::Yes),
                ("no", DefaultUse::No),
                ("exclusive", DefaultUse::Exclusive),
            ],
            &mut mistakes,
        ),
        when_down: choice(
            "when_down",
            when_down.as_deref(),
            &[
                ("auto", WhenDown::Auto),
                ("refuse", WhenDown::Refuse),
                ("release", WhenDown::Release),
            ],
            &mut mistakes,
        ),
        priority: priority.unwrap_or_default(),
        ..DnsSettings::default()
    };
    if !mistakes.is_empty() {
        return Err(mistakes);
    }
    Ok(RuntimeLayer {
        link: link.as_deref().map(Arc::from),
        dns,
        trust: Trust::Administrator,
    })
}

fn list<T>(key: &str, texts: &[String], mistakes: &mut Mistakes) -> Vec<T>
where
    T: FromStr,
    T::Err: std::fmt::Display,
{
    if texts.len() > MAX_ENTRIES {
        mistakes.push(format!("{key}: more than {MAX_ENTRIES} entries"));
        return Vec::new();
    }
    let mut values = Vec::with_capacity(texts.len());
    for text in texts {
        match text.parse() {
            Ok(value) => values.push(value),
            Err(error) => mistakes.push(format!("{key}: {text:?}: {error}")),
        }
    }
    values
}

fn choice<T: Copy + Default>(
    key: &str,
    text: Option<&str>,
    choices: &[(&str, T)],
    mistakes: &mut Mistakes,
) -> T {
    let Some(text) = text else {
        return T::default();
    };
    if let Some((_, value)) = choices.iter().find(|(word, _)| *word == text) {
        return *value;
    }
    let words: Vec<&str> = choices.iter().map(|(word, _)| *word).collect();
    mistakes.push(format!("{key}: {text:?} is none of {}", words.join(", ")));
    T::default()
}

#[cfg(test)]
mod tests {
    use super::*;

    const CALLER: Caller = Caller {
        uid: 0,
        pid: Some(812),
    };

    fn office() -> ClaimParameters {
        ClaimParameters {
            owner: "office".to_owned(),
            link: Some("vpn0".to_owned()),
            upstreams: vec!["10.8.0.1".to_owned()],
            claims: vec!["corp.test".to_owned()],
            ..ClaimParameters::default()
        }
    }

    #[test]
    fn a_claim_goes_with_its_connection_and_a_persistent_one_stays() {
        let mut claims = Claims::default();
        let kept = ClaimParameters {
            owner: "kept".to_owned(),
            persistent: true,
            ..office()
        };
        claims.make(office(), ConnectionId(1), &CALLER).unwrap();
        claims.make(kept, ConnectionId(1), &CALLER).unwrap();
        assert!(!claims.withdraw_connection(ConnectionId(2)));
        assert!(claims.withdraw_connection(ConnectionId(1)));
        let left: Vec<String> = claims
            .status()
            .into_iter()
            .map(|claim| claim.owner)
            .collect();
        assert_eq!(left, ["kept"]);
    }

    #[test]
    fn claiming_again_replaces_what_was_claimed() {
        let mut claims = Claims::default();
        claims.make(office(), ConnectionId(1), &CALLER).unwrap();
        let other = ClaimParameters {
            claims: vec!["other.test".to_owned()],
            ..office()
        };
        claims.make(other, ConnectionId(2), &CALLER).unwrap();
        assert_eq!(claims.status()[0].claims, ["other.test"]);
        assert!(
            !claims.withdraw_connection(ConnectionId(1)),
            "it is the other's by now"
        );
    }

    #[test]
    fn every_mistake_is_told_and_nothing_changes() {
        let mut claims = Claims::default();
        let bad = ClaimParameters {
            owner: "two words".to_owned(),
            link: Some("a/b".to_owned()),
            upstreams: vec!["not an address".to_owned(), "192.0.2.1".to_owned()],
            claims: vec!["a..b".to_owned()],
            default: Some("maybe".to_owned()),
            ..ClaimParameters::default()
        };
        let mistakes = claims.make(bad, ConnectionId(1), &CALLER).unwrap_err();
        for part in ["owner", "a/b", "not an address", "a..b", "maybe"] {
            assert!(
                mistakes.iter().any(|mistake| mistake.contains(part)),
                "{part}: {mistakes:?}"
            );
        }
        assert_eq!(mistakes.len(), 5);
        assert!(claims.status().is_empty());
    }

    #[test]
    fn persistent_claims_come_back_from_their_file() {
        let mut claims = Claims::default();
        let kept = ClaimParameters {
            persistent: true,
            ..office()
        };
        claims.make(kept, ConnectionId(1), &CALLER).unwrap();
        let mut again = Claims::default();
        again.restore(&claims.to_file()).unwrap();
        assert_eq!(again.layers(), claims.layers());
        assert_eq!(again.status(), claims.status());
        assert!(!again.withdraw_connection(ConnectionId(1)));
    }

    #[test]
    fn a_damaged_file_gives_what_is_whole() {
        let mut claims = Claims::default();
        let text = r#"[{"caller":"uid 0","claim":{"owner":"a","claims":["x..y"],"persistent":true}},
            {"caller":"uid 0","claim":{"owner":"b","claims":["x.test"],"persistent":true}}]"#;
        assert!(claims.restore(text).unwrap_err()[0].contains("x..y"));
        assert_eq!(claims.status().len(), 1);
        assert!(claims.restore("{").is_err());
    }
}
