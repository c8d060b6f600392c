//! The values that Rocket has read from the environment, as they were written:
//! [`RocketVariables`].

use std::{env, ffi::OsString};

use figment::{
    Error, Figment, Metadata, Profile, Provider,
    value::{Dict, Map, Value},
};

use super::{insert, prefix_of_variables, variable_value::parse};

/// Rocket's variables: `ROCKET_LIMITER={policies={api={...}}}`, and
/// `ROCKET_LIMITER__POLICIES__API__QUOTA`, which its figment has as one flat key
/// each, `limiter__policies__api__quota`.
pub(in crate::config) struct RocketVariables {
    table: Dict,
    profile: Profile,
    metadata: Option<Metadata>,
}

impl RocketVariables {
    /// Returns the variables at or below `key`, if there is one.
    pub(in crate::config) fn find(figment: &Figment, key: &str) -> Option<Self> {
        let profile = figment.profile().clone();
        let mut found = Self { table: Dict::new(), profile, metadata: None };
        found.add_table(figment, key, env::var_os);
        found.add_flat_keys(figment, key);
        (!found.table.is_empty()).then_some(found)
    }

    /// Adds the values of the variable that is the whole table, as far as nothing
    /// that was merged later has replaced them.
    fn add_table(
        &mut self,
        figment: &Figment,
        key: &str,
        variable: impl Fn(String) -> Option<OsString> + Copy,
    ) {
        for from in figment.metadata() {
            if let Some(Value::Dict(_, table)) = raw_value(from, key, variable) {
                self.add_values(figment, from, (key, ""), &table);
            }
        }
    }

    /// Adds the values of a table that is at `path` in the figment, `below` in ours.
    fn add_values(
        &mut self,
        figment: &Figment,
        from: &Metadata,
        (path, below): (&str, &str),
        table: &Dict,
    ) {
        for (name, value) in table {
            let path = format!("{path}.{name}");
            let below = format!("{below}{name}");
            if let Value::Dict(_, inner) = value {
                self.add_values(figment, from, (&path, &format!("{below}__")), inner);
            } else if figment.find_metadata(&path).is_some_and(|own| own.name == from.name) {
                self.add(&below, value.clone(), Some(from));
            }
        }
    }

    fn add_flat_keys(&mut self, figment: &Figment, key: &str) {
        let prefix = format!("{key}__");
        for (name, value) in figment.extract::<Dict>().unwrap_or_default() {
            if let Some(rest) = name.strip_prefix(&prefix) {
                let from = figment.find_metadata(&name);
                let raw = from.and_then(|from| raw_value(from, &name, env::var_os));
                self.add(rest, raw.unwrap_or(value), from);
            }
        }
    }

    fn add(&mut self, key: &str, value: Value, from: Option<&Metadata>) {
        self.metadata = self.metadata.take().or_else(|| from.cloned());
        insert(&mut self.table, key, value);
    }
}

/// The text of a variable. Figment has made a number of digits, so that a secret
/// `007` would be `7`.
fn raw_value(
    from: &Metadata,
    name: &str,
    variable: impl Fn(String) -> Option<OsString>,
) -> Option<Value> {
    let text = variable(format!("{}{}", prefix_of_variables(from)?, name.to_ascii_uppercase()))?;
    text.into_string().ok().map(parse)
}

impl Provider for RocketVariables {
    fn metadata(&self) -> Metadata {
        self.metadata.clone().unwrap_or_else(|| Metadata::named("environment variables"))
    }

    fn data(&self) -> Result<Map<Profile, Dict>, Error> {
        Ok(self.profile.collect(self.table.clone()))
    }
}

#[cfg(test)]
mod tests {
    use figment::{providers::Serialized, value::Tag};

    use super::*;

    const FROM_ROCKET: &str = "`ROCKET_` environment variable(s)";

    /// `ROCKET_LIMITER` as figment's provider reads it.
    struct Variable(&'static str);

    impl Provider for Variable {
        fn metadata(&self) -> Metadata {
            Metadata::named(FROM_ROCKET)
        }

        fn data(&self) -> Result<Map<Profile, Dict>, Error> {
            let Ok(value) = self.0.parse();
            Ok(Profile::Global.collect(Dict::from([("limiter".to_owned(), value)])))
        }
    }

    #[test]
    fn digits_of_a_variable_stay_text() {
        let from = Metadata::named(FROM_ROCKET);
        let variable = |name: String| (name == "ROCKET_LIMITER__KEY_SECRET").then(|| "007".into());
        let found = raw_value(&from, "limiter__key_secret", variable);
        assert_eq!(found.unwrap().as_str(), Some("007"));
        assert!(
            raw_value(&Metadata::named("TOML file"), "limiter__key_secret", variable).is_none()
        );
    }

    #[test]
    fn digits_of_a_table_stay_text() {
        const TEXT: &str = "{key_secret=007,prefix=010,policies={api={key=ip}},max_keys=5}";
        let merged_later = Serialized::global("limiter.prefix", "later");
        let figment = Figment::from(Variable(TEXT)).merge(merged_later);
        let mut found = RocketVariables {
            table: Dict::new(),
            profile: figment.profile().clone(),
            metadata: None,
        };
        found
            .add_table(&figment, "limiter", |name| (name == "ROCKET_LIMITER").then(|| TEXT.into()));
        let expected: Value =
            r#"{key_secret="007",policies={api={key=ip}},max_keys="5"}"#.parse().unwrap();
        assert_eq!(Value::Dict(Tag::Default, found.table), expected);
    }
}
