//! The operator's own identities: a JWT that its site gave to the viewer becomes a viewer of a room.
//!
//! In → Out: a signed token with `sub`, `exp` and perhaps `name`, `moderator`, `broadcast` → a viewer whose id is the same each time.
//! The key decides the algorithm, never the token: what claims another one, or none, is refused.
//! Spec: RFC 7519; RFC 8725, sections 3.1 and 3.2; docs/ix.md, "Identities of the operator".

use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use media::BroadcastId;
use serde::Deserialize;

/// Checks the operator's tokens.
#[derive(Clone)]
pub struct Identity {
    key: DecodingKey,
    validation: Validation,
    required: bool,
}

impl std::fmt::Debug for Identity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // A shared secret stays out of logs.
        f.debug_struct("Identity")
            .field("required", &self.required)
            .finish_non_exhaustive()
    }
}

/// What a token says.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
pub(crate) struct Claims {
    /// The operator's name for the account; never shown.
    pub(crate) sub: String,
    /// What others see.
    pub(crate) name: Option<String>,
    /// Moderates the rooms for which the token is good.
    #[serde(default)]
    pub(crate) moderator: bool,
    /// Good in this room only.
    broadcast: Option<String>,
}

/// The shortest shared secret that is taken, in bytes: as long as the hash, as RFC 7518 demands.
const SECRET_MIN: usize = 32;
/// The longest token that is looked at, and the longest `sub`.
const TOKEN_MAX: usize = 4 * 1024;
const SUB_MAX: usize = 256;

impl Identity {
    /// From a key file's content: a public key as PEM (Ed25519, P-256 or RSA), else a shared secret for HS256 of at least 32 bytes.
    /// With an audience, tokens must name it. With `required`, nobody becomes a viewer without a token.
    pub fn parse(key: &[u8], audience: Option<&str>, required: bool) -> anyhow::Result<Self> {
        let pem = key.starts_with(b"-----BEGIN");
        let parsed = if pem {
            DecodingKey::from_ed_pem(key)
                .map(|key| (key, Algorithm::EdDSA))
                .or_else(|_| DecodingKey::from_ec_pem(key).map(|key| (key, Algorithm::ES256)))
                .or_else(|_| DecodingKey::from_rsa_pem(key).map(|key| (key, Algorithm::RS256)))
                .map_err(|_| {
                    anyhow::anyhow!(
                        "not a public key that is understood: Ed25519, P-256 or RSA, as PEM"
                    )
                })?
        } else {
            let secret = key.trim_ascii();
            anyhow::ensure!(
                secret.len() >= SECRET_MIN,
                "a shared secret needs at least {SECRET_MIN} bytes"
            );
            (DecodingKey::from_secret(secret), Algorithm::HS256)
        };
        let (key, algorithm) = parsed;
        let mut validation = Validation::new(algorithm);
        validation.validate_nbf = true;
        if let Some(audience) = audience {
            validation.set_audience(&[audience]);
            validation.set_required_spec_claims(&["exp", "sub", "aud"]);
        } else {
            validation.validate_aud = false;
            validation.set_required_spec_claims(&["exp", "sub"]);
        }
        Ok(Self {
            key,
            validation,
            required,
        })
    }

    /// Whether viewers must have a token of the operator's.
    pub(crate) fn is_required(&self) -> bool {
        self.required
    }

    /// Who the token belongs to; `None` unless it is signed, in its time, and good in this room.
    pub(crate) fn verify(&self, room: &BroadcastId, token: &str) -> Option<Claims> {
        if token.len() > TOKEN_MAX {
            return None;
        }
        let claims = jsonwebtoken::decode::<Claims>(token, &self.key, &self.validation)
            .ok()?
            .claims;
        let here = claims
            .broadcast
            .as_deref()
            .is_none_or(|id| id == room.as_str());
        let named = !claims.sub.is_empty() && claims.sub.len() <= SUB_MAX;
        (here && named).then_some(claims)
    }
}

#[cfg(test)]
mod tests {
    use jsonwebtoken::{EncodingKey, Header};
    use serde_json::{Value, json};

    use super::*;

    const SECRET: &[u8] = b"0123456789abcdef0123456789abcdef\n";
    const LATER: u64 = 4_000_000_000;

    fn token(algorithm: Algorithm, secret: &[u8], claims: &Value) -> String {
        jsonwebtoken::encode(
            &Header::new(algorithm),
            claims,
            &EncodingKey::from_secret(secret),
        )
        .unwrap()
    }

    fn show() -> BroadcastId {
        BroadcastId::parse("show").unwrap()
    }

    #[test]
    fn a_token_of_the_operators_names_a_viewer() {
        let identity = Identity::parse(SECRET, None, false).unwrap();
        let claims = json!({ "sub": "42", "name": "Ann", "moderator": true, "exp": LATER });
        let claims = identity
            .verify(
                &show(),
                &token(Algorithm::HS256, SECRET.trim_ascii(), &claims),
            )
            .unwrap();
        assert_eq!(
            (
                claims.sub.as_str(),
                claims.name.as_deref(),
                claims.moderator
            ),
            ("42", Some("Ann"), true)
        );
    }

    #[test]
    fn tokens_that_are_forged_stale_for_others_or_of_another_kind_are_nobody() {
        let identity = Identity::parse(SECRET, Some("nearcast"), false).unwrap();
        let good = json!({ "sub": "42", "exp": LATER, "aud": "nearcast", "broadcast": "show" });
        let signed = |claims: &Value| token(Algorithm::HS256, SECRET.trim_ascii(), claims);
        assert!(identity.verify(&show(), &signed(&good)).is_some());
        for (key, value) in [
            ("exp", json!(1)),
            ("exp", Value::Null),
            ("sub", json!("")),
            ("sub", json!("x".repeat(300))),
            ("aud", json!("other")),
            ("aud", Value::Null),
            ("broadcast", json!("other")),
            ("nbf", json!(LATER - 10)),
        ] {
            let mut claims = good.clone();
            claims[key] = value;
            assert!(
                identity.verify(&show(), &signed(&claims)).is_none(),
                "{claims}"
            );
        }
        assert!(
            identity
                .verify(
                    &show(),
                    &token(Algorithm::HS512, SECRET.trim_ascii(), &good)
                )
                .is_none()
        );
        assert!(
            identity
                .verify(
                    &show(),
                    &token(Algorithm::HS256, b"another secret of enough bytes..", &good)
                )
                .is_none()
        );
        // alg "none": header and claims as they should be, no signature.
        let unsigned = format!(
            "eyJhbGciOiJub25lIn0.{}.",
            signed(&good).split('.').nth(1).unwrap()
        );
        for text in [unsigned.as_str(), "", "..", &"a".repeat(10_000)] {
            assert!(identity.verify(&show(), text).is_none(), "{text}");
        }
    }

    #[test]
    fn keys_that_are_too_short_or_not_understood_are_refused_at_start() {
        assert!(Identity::parse(b"short", None, false).is_err());
        assert!(
            Identity::parse(
                b"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n",
                None,
                false
            )
            .is_err()
        );
    }
}
