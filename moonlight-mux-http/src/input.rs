//! What a request says of input: which rights, and how viewers share the host.

use std::time::Duration;

use moonlight_mux::{DeviceClass, InputMode, Rights};

use crate::fields::{Fault, Fields, InvalidField};

/// The rights with what `rights` says of some classes of devices; the others stay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RightsChange {
    named: [Option<bool>; DeviceClass::ALL.len()],
}

impl RightsChange {
    pub(crate) fn parse(fields: &Fields) -> Result<Self, InvalidField> {
        let rights = fields.object("rights")?.ok_or(Fault::Missing.of("rights"))?;
        let mut named = [None; DeviceClass::ALL.len()];
        for (named, (class, field)) in named.iter_mut().zip(CLASSES) {
            *named = rights.flag(class.name()).map_err(|invalid| invalid.fault.of(field))?;
        }
        if rights.names().any(|name| CLASSES.iter().all(|(class, _)| class.name() != name)) {
            return Err(Fault::UnknownClass.of("rights"));
        }
        Ok(Self { named })
    }

    pub(crate) fn apply(&self, rights: Rights) -> Rights {
        CLASSES.iter().zip(self.named).fold(rights, |rights, (&(class, _), allowed)| match allowed {
            Some(allowed) => rights.with(class, allowed),
            None => rights,
        })
    }
}

/// The mode that `input_mode` and `idle_ms` name; the one that is `now` where they say nothing.
pub(crate) fn mode(fields: &Fields, now: InputMode) -> Result<InputMode, InvalidField> {
    let named = fields.parsed("input_mode", Fault::NotAMode)?;
    let mode = match (named, now) {
        // Its gap stays unless another is named.
        (Some(InputMode::OneAtATime { .. }), InputMode::OneAtATime { .. }) => now,
        (named, now) => named.unwrap_or(now),
    };
    match (fields.number("idle_ms", IDLE_MS)?, mode) {
        (None, mode) => Ok(mode),
        (Some(idle), InputMode::OneAtATime { .. }) => {
            Ok(InputMode::OneAtATime { idle: Duration::from_millis(idle.into()) })
        }
        (Some(_), _) => Err(Fault::NoTurns.of("idle_ms")),
    }
}

/// Makes `fields` name a mode, for [`mode`] to find.
pub(crate) fn put_mode(fields: &mut Fields, mode: InputMode) {
    fields.put("input_mode", Some(mode.name().into()));
    let idle = match mode {
        InputMode::OneAtATime { idle } => u64::try_from(idle.as_millis()).ok(),
        _ => None,
    };
    fields.put("idle_ms", idle.map(Into::into));
}

const CLASSES: [(DeviceClass, &str); DeviceClass::ALL.len()] = [
    (DeviceClass::Keyboard, "rights.keyboard"),
    (DeviceClass::Pointer, "rights.pointer"),
    (DeviceClass::Touch, "rights.touch"),
    (DeviceClass::Pen, "rights.pen"),
    (DeviceClass::Gamepad, "rights.gamepad"),
    (DeviceClass::Text, "rights.text"),
];
/// As `InputMode::OneAtATime` has it.
const IDLE_MS: std::ops::RangeInclusive<u32> = 100..=60_000;

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn change(rights: Value) -> Result<RightsChange, (&'static str, String)> {
        let change = RightsChange::parse(&Fields::from(json!({ "rights": rights })));
        change.map_err(|invalid| (invalid.field, invalid.to_string()))
    }

    fn one_at_a_time(idle_ms: u64) -> InputMode {
        InputMode::OneAtATime { idle: Duration::from_millis(idle_ms) }
    }

    #[test]
    fn classes_that_are_not_named_keep_their_right() {
        for class in DeviceClass::ALL {
            for allowed in [false, true] {
                let change = change(json!({ class.name(): allowed })).unwrap();
                for before in [Rights::NONE, Rights::ALL] {
                    assert_eq!(change.apply(before), before.with(class, allowed), "{class:?} {allowed}");
                }
            }
        }
        for nothing in [json!({}), json!({"keyboard": null})] {
            assert_eq!(change(nothing).unwrap().apply(Rights::ALL), Rights::ALL);
        }
    }

    #[test]
    fn a_class_that_is_not_known_or_no_flag_is_named() {
        let classes = "keyboard, pointer, touch, pen, gamepad, text";
        for (rights, field, sentence) in [
            (json!({"keybord": true}), "rights", format!("rights may have {classes} alone")),
            (json!({"keybord": null}), "rights", format!("rights may have {classes} alone")),
            (json!({"pen": 1}), "rights.pen", "rights.pen has to be true or false".to_owned()),
            (json!({"text": "yes"}), "rights.text", "rights.text has to be true or false".to_owned()),
            (json!(["pen"]), "rights", "rights has to be an object".to_owned()),
            (json!(true), "rights", "rights has to be an object".to_owned()),
            (json!(null), "rights", "rights is missing".to_owned()),
        ] {
            assert_eq!(change(rights.clone()), Err((field, sentence)), "{rights}");
        }
    }

    #[test]
    fn a_mode_is_named_with_its_gap() {
        let usual = InputMode::one_at_a_time();
        for (body, now, expected) in [
            (json!({}), InputMode::ViewOnly, InputMode::ViewOnly),
            (json!({"input_mode": null, "idle_ms": null}), usual, usual),
            (json!({"input_mode": "shared"}), usual, InputMode::Shared),
            (json!({"input_mode": "view_only"}), InputMode::Shared, InputMode::ViewOnly),
            (json!({"input_mode": "one_at_a_time"}), InputMode::Shared, usual),
            (json!({"input_mode": "one_at_a_time"}), one_at_a_time(500), one_at_a_time(500)),
            (json!({"input_mode": "one_at_a_time", "idle_ms": 100}), InputMode::Shared, one_at_a_time(100)),
            (json!({"idle_ms": 60_000}), usual, one_at_a_time(60_000)),
        ] {
            assert_eq!(mode(&Fields::from(body.clone()), now), Ok(expected), "{body}");
        }
    }

    #[test]
    fn a_mode_that_is_put_is_found() {
        let before = json!({"input_mode": "one_at_a_time", "idle_ms": 500, "fps": 30});
        for mode_put in
            [InputMode::Shared, InputMode::ViewOnly, InputMode::one_at_a_time(), one_at_a_time(100)]
        {
            let mut fields = Fields::from(before.clone());
            put_mode(&mut fields, mode_put);
            assert_eq!(mode(&fields, one_at_a_time(60_000)), Ok(mode_put));
            assert!(fields.has("fps"));
        }
    }

    #[test]
    fn a_mode_that_cannot_be_is_refused() {
        for (body, field) in [
            (json!({"input_mode": "Shared"}), "input_mode"),
            (json!({"input_mode": 1}), "input_mode"),
            (json!({"input_mode": "one_at_a_time", "idle_ms": 99}), "idle_ms"),
            (json!({"input_mode": "one_at_a_time", "idle_ms": 60_001}), "idle_ms"),
            (json!({"input_mode": "one_at_a_time", "idle_ms": "500"}), "idle_ms"),
            (json!({"input_mode": "view_only", "idle_ms": 500}), "idle_ms"),
            (json!({"idle_ms": 500}), "idle_ms"),
        ] {
            let invalid = mode(&Fields::from(body.clone()), InputMode::Shared).expect_err(&body.to_string());
            assert_eq!(invalid.field, field, "{invalid}");
        }
    }
}
