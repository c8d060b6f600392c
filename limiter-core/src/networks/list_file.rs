//! Lists of networks as files: one network a line.
//!
//! ```text
//! line    = [ network ] [ ( "#" | ";" ) comment ]     FireHOL, Spamhaus DROP as text
//!         | JSON object with "cidr"                   Spamhaus DROP as JSON lines
//!         | JSON object with "type": "metadata"       its last line
//! ```

use std::borrow::Cow;

use ipnet::IpNet;
use serde::Deserialize;

use super::{Networks, parse};
use crate::error::ConfigError;

/// A line of Spamhaus DROP in JSON.
#[derive(Deserialize)]
struct JsonLine<'a> {
    #[serde(borrow)]
    cidr: Option<Cow<'a, str>>,
    #[serde(borrow, rename = "type")]
    kind: Option<Cow<'a, str>>,
}

impl Networks {
    /// Reads the text of a list: one network or address a line, with comments behind `#`
    /// or `;`, as FireHOL and Spamhaus publish them; or lines of JSON with the network as
    /// `cidr`, as Spamhaus does.
    ///
    /// ```
    /// use limiter_core::Networks;
    ///
    /// let drop = "; Spamhaus DROP List\n1.10.16.0/20 ; SBL256894\n2.56.192.0/22 ; SBL459831\n";
    /// let networks = Networks::parse_list(drop)?;
    /// assert_eq!(networks.len(), 2);
    /// assert!(networks.contains("1.10.17.1".parse()?));
    ///
    /// let error = Networks::parse_list("10.0.0.0/8\nlocalhost\n").unwrap_err().to_string();
    /// assert!(error.starts_with("line 2: \"localhost\" is no network"), "{error}");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// If a line is none of these, with its number.
    pub fn parse_list(text: &str) -> Result<Self, ConfigError> {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let mut networks = Vec::new();
        for (at, line) in text.lines().enumerate() {
            let network =
                read_line(line).map_err(|error| error.within(format_args!("line {}", at + 1)))?;
            networks.extend(network);
        }
        Ok(Self::of(networks))
    }
}

fn read_line(line: &str) -> Result<Option<IpNet>, ConfigError> {
    let line = line.trim();
    if !line.starts_with('{') {
        let network = line.split(['#', ';']).next().unwrap_or_default().trim();
        return if network.is_empty() { Ok(None) } else { parse(network).map(Some) };
    }
    match serde_json::from_str(line) {
        Ok(JsonLine { cidr: Some(network), .. }) => parse(network.trim()).map(Some),
        Ok(JsonLine { kind: Some(kind), .. }) if kind == "metadata" => Ok(None),
        _ => Err(ConfigError::new(
            "is no object with a network; write {\"cidr\":\"10.0.0.0/8\"}, or the network alone",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_format_is_read() {
        let table = [
            ("", 0),
            ("# FireHOL\n#\n10.0.0.0/8\n192.0.2.1\r\n\r\n2001:db8::/32 # one\n", 3),
            ("\u{feff}; DROP\n1.2.3.0/24 ; SBL1\n1.2.3.0/24;SBL1\n   \n", 1),
            (
                "{\"cidr\":\"1.10.16.0/20\",\"sblid\":\"SBL256894\",\"rir\":\"apnic\"}\n\
              {\"cidr\":\"2001:678::/48\"}\n\
              {\"type\":\"metadata\",\"timestamp\":1,\"size\":2,\"records\":2}\n",
                2,
            ),
        ];
        for (text, count) in table {
            assert_eq!(Networks::parse_list(text).unwrap().len(), count, "{text}");
        }
    }

    #[test]
    fn a_bad_line_is_named() {
        for line in ["10.0.0.1/8", "{\"cidr\":3}", "{\"type\":\"other\"}", "10.0.0.0/8 deny", "{"] {
            let error = Networks::parse_list(&format!("10.0.0.0/8\n\n{line}")).unwrap_err();
            assert!(error.to_string().starts_with("line 3: "), "{error}");
        }
    }
}
