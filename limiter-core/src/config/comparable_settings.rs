//! A configuration as keys and values, by which two are compared.

use figment::{
    Figment,
    value::{Dict, Num, Value},
};

use crate::limiter::SettingTexts;

/// Returns all values that a figment has, each under its key.
pub(super) fn texts(figment: &Figment) -> SettingTexts {
    let mut texts = SettingTexts::default();
    // What cannot be extracted was refused before.
    let root: Dict = figment.extract().unwrap_or_default();
    insert(&mut texts, "", &root);
    texts
}

fn insert(texts: &mut SettingTexts, within: &str, table: &Dict) {
    for (name, value) in table {
        let key = if within.is_empty() { name.clone() } else { format!("{within}.{name}") };
        match value {
            Value::Dict(_, table) => insert(texts, &key, table),
            value => texts.insert(&key, shown(value)),
        }
    }
}

fn shown(value: &Value) -> String {
    match value {
        Value::String(_, text) => format!("{text:?}"),
        Value::Char(_, letter) => format!("{:?}", letter.to_string()),
        Value::Bool(_, flag) => flag.to_string(),
        Value::Num(_, number) => number_shown(*number),
        Value::Empty(..) => "nothing".to_owned(),
        Value::Dict(_, table) => {
            let entries: Vec<_> =
                table.iter().map(|(name, value)| format!("{name} = {}", shown(value))).collect();
            format!("{{ {} }}", entries.join(", "))
        }
        Value::Array(_, list) => {
            format!("[{}]", list.iter().map(shown).collect::<Vec<_>>().join(", "))
        }
    }
}

fn number_shown(number: Num) -> String {
    match (number.to_u128(), number.to_i128(), number.to_f64()) {
        (Some(number), ..) => number.to_string(),
        (_, Some(number), _) => number.to_string(),
        (.., Some(number)) => number.to_string(),
        _ => "a number".to_owned(),
    }
}
