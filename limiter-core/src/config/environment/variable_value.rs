//! The notation of one variable: text, or figment's for a list or a table.
//!
//! Figment makes numbers of digits, so that a secret `007` would be `7`. Here they
//! stay text, which each key of the configuration reads as what it has to be.

use figment::value::Value;

/// Reads the value of a variable: a list or a table begins with its bracket, all
/// else is text.
pub(super) fn parse(value: String) -> Value {
    match value.trim_start().chars().next() {
        Some('[' | '{') => {
            let Ok(value) = with_numbers_as_text(&value).parse();
            value
        }
        _ => Value::from(value),
    }
}

/// Puts quotes around each bare value that begins as a number does.
fn with_numbers_as_text(notation: &str) -> String {
    let (mut written, mut open, mut rest) = (String::new(), Vec::new(), notation);
    let mut is_key = false;
    while let Some(next) = rest.chars().next() {
        let length = match next {
            '{' | '[' => {
                open.push(next);
                is_key = next == '{';
                1
            }
            '}' | ']' => {
                open.pop();
                1
            }
            ',' => {
                is_key = open.last() == Some(&'{');
                1
            }
            '"' => length_of_string(rest),
            _ if is_key => {
                let end = rest.find('=').map_or(rest.len(), |at| at + 1);
                is_key = false;
                end
            }
            _ if next.is_whitespace() => next.len_utf8(),
            _ => rest.find([',', '{', '}', '[', ']']).unwrap_or(rest.len()),
        };
        let (part, behind) = rest.split_at(length);
        let is_number = next.is_ascii_digit() || ['+', '-', '.'].contains(&next);
        if is_number && !part.contains(['"', '\\', '=']) {
            written.extend(["\"", part.trim_end(), "\""]);
        } else {
            written.push_str(part);
        }
        rest = behind;
    }
    written
}

/// Returns the length of the string in quotes that a text begins with.
fn length_of_string(text: &str) -> usize {
    let mut is_escaped = false;
    let end = text.char_indices().skip(1).find(|(_, c)| {
        let is_end = *c == '"' && !is_escaped;
        is_escaped = *c == '\\' && !is_escaped;
        is_end
    });
    end.map_or(text.len(), |(at, _)| at + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_a_table_are_text() {
        let table = [
            ("{key_secret=007}", r#"{key_secret="007"}"#),
            ("{ key_secret = 007 , n = -1 }", r#"{ key_secret = "007", n = "-1"}"#),
            ("[401, 403]", r#"["401", "403"]"#),
            ("{a={b=[1,2],c=0.50},d=x}", r#"{a={b=["1","2"],c="0.50"},d=x}"#),
            (r#"{a="1, 2",b=3}"#, r#"{a="1, 2",b="3"}"#),
            (r#"{a="x\" 1",b=3}"#, r#"{a="x\" 1",b="3"}"#),
            ("{store=redis://h/?db=2}", "{store=redis://h/?db=2}"),
            ("{store=redis://:007@h}", "{store=redis://:007@h}"),
            ("{007=1}", r#"{007="1"}"#),
            ("{quota=5/minute}", r#"{quota="5/minute"}"#),
            (r#"{"a=b"=7,c=d}"#, r#"{"a=b"="7",c=d}"#),
            ("{a=", "{a="),
            ("{a", "{a"),
            (r#"{a="1"#, r#"{a="1"#),
        ];
        for (notation, expected) in table {
            assert_eq!(with_numbers_as_text(notation), expected, "{notation}");
        }
    }
}
