//! Viewer tokens: a name and a random id, signed, kept by the browser. No account, no cookie, no table.
//!
//! In → Out: a room, a viewer, a name, an end → text; text and room → viewer and name, if the signature and the time are right.
//! Spec: RFC 2104 (HMAC) with SHA-256; docs/ix.md, "The way up".

use media::{BroadcastId, UnixTime};
use room::{Name, ViewerId};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

/// The server's secret for viewer tokens. Whoever has it can be any viewer, but nobody else.
#[derive(Clone)]
pub(crate) struct TokenKey([u8; 32]);

/// Who a token belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Bearer {
    pub(crate) viewer: ViewerId,
    pub(crate) name: Name,
}

impl TokenKey {
    pub(crate) const fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// `v1.{viewer}.{seconds, hex}.{name, hex}.{signature, hex}`; good in one room only.
    pub(crate) fn sign(&self, room: &BroadcastId, bearer: &Bearer, until: UnixTime) -> String {
        let seconds = until.as_millis() / 1_000;
        let claims = format!(
            "v1.{}.{seconds:x}.{}",
            bearer.viewer,
            to_hex(bearer.name.as_str().as_bytes())
        );
        let signature = self.signature(room, &claims);
        format!("{claims}.{}", to_hex(&signature))
    }

    /// `None` for anything but a token of this room that has not run out.
    pub(crate) fn verify(&self, room: &BroadcastId, token: &str, now: UnixTime) -> Option<Bearer> {
        if token.len() > TOKEN_BYTES_MAX {
            return None;
        }
        let (claims, signature) = token.rsplit_once('.')?;
        let signed: bool = self
            .signature(room, claims)
            .as_slice()
            .ct_eq(&from_hex(signature)?)
            .into();
        let mut fields = claims.split('.');
        let (version, viewer, until, name) = (
            fields.next()?,
            fields.next()?,
            fields.next()?,
            fields.next()?,
        );
        let seconds = u64::from_str_radix(until, 16).ok()?;
        if !signed || version != "v1" || now.as_millis() / 1_000 >= seconds {
            return None;
        }
        let name = String::from_utf8(from_hex(name)?).ok()?;
        Some(Bearer {
            viewer: ViewerId::parse(viewer)?,
            name: Name::parse(&name).ok()?,
        })
    }

    /// The id that an account of the operator's has in a room: always the same, and nobody can tell the account from it.
    pub(crate) fn account(&self, room: &BroadcastId, sub: &str) -> ViewerId {
        let pieces = [
            b"account\n",
            room.as_str().as_bytes(),
            b"\n",
            sub.as_bytes(),
        ];
        let mac = hmac(&self.0, &pieces);
        ViewerId(
            mac.iter()
                .take(8)
                .fold(0, |id, byte| id << 8 | u64::from(*byte)),
        )
    }

    fn signature(&self, room: &BroadcastId, claims: &str) -> [u8; 16] {
        let mut signature = [0; 16];
        signature.copy_from_slice(
            &hmac(
                &self.0,
                &[room.as_str().as_bytes(), b"\n", claims.as_bytes()],
            )[..16],
        );
        signature
    }
}

/// A name of 120 bytes in hex and everything around it.
const TOKEN_BYTES_MAX: usize = 400;

/// HMAC-SHA-256 of the concatenated pieces. The key is at most one block long.
fn hmac(key: &[u8], pieces: &[&[u8]]) -> [u8; 32] {
    let pad = |with: u8| -> [u8; 64] {
        std::array::from_fn(|index| key.get(index).copied().unwrap_or(0) ^ with)
    };
    let mut inner = Sha256::new_with_prefix(pad(0x36));
    for piece in pieces {
        inner.update(piece);
    }
    let outer = Sha256::new_with_prefix(pad(0x5c)).chain_update(inner.finalize());
    outer.finalize().into()
}

fn to_hex(bytes: &[u8]) -> String {
    bytes
        .iter()
        .flat_map(|byte| [byte >> 4, byte & 15])
        .filter_map(|digit| char::from_digit(u32::from(digit), 16))
        .collect()
}

fn from_hex(text: &str) -> Option<Vec<u8>> {
    if !text.len().is_multiple_of(2) || !text.is_ascii() {
        return None;
    }
    (0..text.len() / 2)
        .map(|index| u8::from_str_radix(text.get(index * 2..index * 2 + 2)?, 16).ok())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mac_is_the_one_of_rfc_4231() {
        let mac = hmac(b"Jefe", &[b"what do ya want ", b"for nothing?"]);
        assert_eq!(
            to_hex(&mac),
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
        );
    }

    #[test]
    fn a_token_proves_one_viewer_in_one_room_for_a_time() {
        let key = TokenKey::new([7; 32]);
        let (show, other) = (
            BroadcastId::parse("show").unwrap(),
            BroadcastId::parse("other").unwrap(),
        );
        let bearer = Bearer {
            viewer: ViewerId(0xab),
            name: Name::parse("Zoë ❤").unwrap(),
        };
        let at = UnixTime::from_millis;
        let token = key.sign(&show, &bearer, at(10_000));
        assert_eq!(key.verify(&show, &token, at(9_000)), Some(bearer));
        assert_eq!(key.verify(&other, &token, at(9_000)), None);
        assert_eq!(key.verify(&show, &token, at(10_000)), None);
        assert_eq!(
            TokenKey::new([8; 32]).verify(&show, &token, at(9_000)),
            None
        );
        for index in 0..token.len() {
            let mut forged = token.clone().into_bytes();
            forged[index] = if forged[index] == b'0' { b'1' } else { b'0' };
            let forged = String::from_utf8(forged).unwrap();
            assert_eq!(key.verify(&show, &forged, at(9_000)), None, "{forged}");
        }
        for text in ["", ".", "....", "v1.00.0..", &"a".repeat(1_000)] {
            assert_eq!(key.verify(&show, text, at(0)), None, "{text}");
        }
    }
}
