//! Kept task messages that are sent once more.

use std::collections::BTreeMap;

use serde_json::value::RawValue;

use crate::{Envelope, HeaderValue};

/// Lets a kept task run as if it had never been tried, and however late it is.
///
/// Protocol 1 says both in the body. Only such a body changes, and nothing else in it.
pub fn reset_attempts(envelope: &mut Envelope, body: &mut Vec<u8>) {
    for (name, fresh) in [
        ("retries", HeaderValue::Int(0)),
        ("expires", HeaderValue::Null),
    ] {
        if let Some(value) = envelope.headers.get_mut(name) {
            *value = fresh;
        }
    }
    if !envelope.headers.contains_key("task")
        && let Some(fresh) = with_reset_fields(body)
    {
        *body = fresh;
    }
}

/// The body with its own fields reset; `None` when it has none of them or they are.
fn with_reset_fields(body: &[u8]) -> Option<Vec<u8>> {
    // Unread, so that no number in the arguments loses digits.
    let mut fields: BTreeMap<String, &RawValue> = serde_json::from_slice(body).ok()?;
    let mut is_changed = false;
    for (name, fresh) in [("retries", "0"), ("expires", "null")] {
        if let Some(value) = fields.get_mut(name)
            && value.get() != fresh
        {
            *value = serde_json::from_str(fresh).ok()?;
            is_changed = true;
        }
    }
    is_changed
        .then(|| serde_json::to_vec(&fields).ok())
        .flatten()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    const ID: &str = "5c03d678-00e1-46a2-83da-72c1a02efb42";

    #[test]
    fn a_message_of_protocol_1_is_reset_in_its_body_and_nowhere_else() {
        let (args, limits) = (
            r#""args":[123456789012345678901]"#,
            r#""timelimit":[60,null]"#,
        );
        let of = |fields: &str| format!(r#"{{{args},{fields}"id":"{ID}","task":"a.b",{limits}}}"#);
        let fresh = |body: &str| {
            let (mut envelope, mut body) = (Envelope::default(), body.to_owned().into_bytes());
            reset_attempts(&mut envelope, &mut body);
            assert_eq!(envelope, Envelope::default());
            String::from_utf8(body).unwrap()
        };
        let late = of(r#""expires":"2026-01-01T00:00:00Z","retries":7,"#);
        let sent = fresh(&late);
        assert!(sent.contains(args) && sent.contains(limits), "{sent}");
        let fields: Value = serde_json::from_str(&sent).unwrap();
        assert_eq!(fields["expires"], Value::Null);
        assert_eq!(fields["retries"], json!(0));
        assert_eq!(fields["id"], json!(ID));
        for unchanged in [
            &*of(""),
            &of(r#""retries":0,  "expires":null,"#),
            "[[], {}, null]",
        ] {
            assert_eq!(fresh(unchanged), unchanged);
        }
    }

    #[test]
    fn the_body_of_protocol_2_is_left_alone() {
        let task = HeaderValue::Text("a.b".to_owned());
        let retries = HeaderValue::Int(3);
        let mut envelope = Envelope {
            headers: [("task".to_owned(), task), ("retries".to_owned(), retries)].into(),
            ..Envelope::default()
        };
        let call = br#"{"args": [], "kwargs": {}, "retries": 3}"#;
        let mut body = call.to_vec();
        reset_attempts(&mut envelope, &mut body);
        assert_eq!(body, call);
        assert_eq!(envelope.headers["retries"], HeaderValue::Int(0));
    }
}
