//! Platforms: what each needs to be told, and what an endpoint's host tells already.

use crate::config::raw;
use crate::config::snapshot::platform::Platform;
use crate::config::spot::Spot;
use crate::dialect::ir::Dialect;

/// What a provider says of its platform.
pub(super) struct Wanted {
    platform: Option<raw::platform::Platform>,
    api_version: Option<Box<str>>,
    project: Option<Box<str>>,
    location: Option<Box<str>>,
}

impl Wanted {
    /// Reads it, and reports what belongs to another platform or dialect.
    pub(super) fn of(raw: &raw::Provider, dialect: Dialect, spot: &Spot<'_>) -> Self {
        use raw::platform::Platform::{Azure, Cohere, Mistral, Vertex};
        let only = |key: &str, platform, name: &str| {
            let place = spot.key(key);
            if place.node().is_some() && raw.platform != Some(platform) {
                place.refuse(format!("has no effect: the `platform` is not `{name}`"));
            }
        };
        only("api_version", Azure, "azure");
        only("project", Vertex, "vertex");
        only("location", Vertex, "vertex");
        let speaks = match raw.platform {
            None => true,
            Some(Azure) => matches!(dialect, Dialect::Chat | Dialect::Responses),
            Some(Cohere | Mistral) => dialect == Dialect::Chat,
            Some(Vertex) => {
                matches!(dialect, Dialect::Gemini | Dialect::Anthropic | Dialect::Chat)
            }
        };
        if !speaks {
            spot.key("dialect").refuse("is not spoken on this `platform`");
        }
        if raw.platform == Some(Vertex) && raw.project.is_none() {
            spot.refuse("`project` is missing: on `vertex` it is part of each path");
        }
        let segment = |key: &str, value: &Option<String>| {
            let value = value.as_deref()?;
            let fits =
                |one: char| one.is_ascii_alphanumeric() || matches!(one, '-' | '.' | ':' | '_');
            if value.is_empty() || !value.chars().all(fits) {
                spot.key(key).refuse("must be made of letters, digits, `-`, `.`, `:` and `_`");
            }
            Some(Box::from(value))
        };
        Self {
            platform: raw.platform,
            api_version: segment("api_version", &raw.api_version),
            project: segment("project", &raw.project),
            location: segment("location", &raw.location),
        }
    }

    /// The platform of an endpoint at a host.
    pub(super) fn at(&self, host: &str, spot: &Spot<'_>) -> Platform {
        match self.platform {
            None => Platform::Plain,
            Some(raw::platform::Platform::Azure) => {
                Platform::Azure { api_version: self.api_version.clone() }
            }
            Some(raw::platform::Platform::Vertex) => {
                let location = self.location.clone().or_else(|| location_of(host).map(Into::into));
                if location.is_none() {
                    spot.refuse("the host names no location: set the provider's `location`");
                }
                Platform::Vertex {
                    project: self.project.clone().unwrap_or_default(),
                    location: location.unwrap_or_default(),
                }
            }
            Some(raw::platform::Platform::Cohere) => Platform::Cohere,
            Some(raw::platform::Platform::Mistral) => Platform::Mistral,
        }
    }
}

/// The location in a host of Vertex AI: `us-central1-aiplatform.googleapis.com`, `aiplatform.eu.rep.googleapis.com`.
fn location_of(host: &str) -> Option<&str> {
    let service = host.strip_suffix(".googleapis.com")?;
    if service == "aiplatform" {
        return Some("global");
    }
    let regional = service.strip_suffix("-aiplatform");
    regional.or_else(|| service.strip_prefix("aiplatform.")?.strip_suffix(".rep"))
}

/// The region in a host of AWS: `bedrock-runtime.us-east-1.amazonaws.com`.
pub(super) fn region_of(host: &str) -> Option<&str> {
    let mut labels = host.split('.').skip_while(|label| !label.contains("bedrock"));
    let (_service, region) = (labels.next()?, labels.next()?);
    let rest = labels.next()?;
    matches!(rest, "amazonaws" | "vpce" | "api").then_some(region)
}

#[cfg(test)]
mod tests {
    use super::{location_of, region_of};

    #[test]
    fn hosts_tell_where_they_are() {
        for (host, expected) in [
            ("us-central1-aiplatform.googleapis.com", Some("us-central1")),
            ("aiplatform.googleapis.com", Some("global")),
            ("aiplatform.eu.rep.googleapis.com", Some("eu")),
            ("vertex.example.com", None),
            ("storage.googleapis.com", None),
        ] {
            assert_eq!(location_of(host), expected, "{host}");
        }
        for (host, expected) in [
            ("bedrock-runtime.us-east-1.amazonaws.com", Some("us-east-1")),
            ("bedrock-runtime-fips.us-gov-west-1.amazonaws.com", Some("us-gov-west-1")),
            ("bedrock-runtime.cn-north-1.amazonaws.com.cn", Some("cn-north-1")),
            ("vpce-1a-2b.bedrock-runtime.eu-west-1.vpce.amazonaws.com", Some("eu-west-1")),
            ("bedrock.example.com", None),
            ("127.0.0.1", None),
        ] {
            assert_eq!(region_of(host), expected, "{host}");
        }
    }
}
