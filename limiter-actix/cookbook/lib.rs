//! Recipes for actix-web. Each module is one, with its test.

pub mod behind_proxies;
pub mod body_key;
pub mod charge_while_streaming;
pub mod cors;
pub mod cost;
pub mod custom_body;
pub mod html_or_json;
pub mod login;
pub mod login_form_answers_200;
pub mod messages;
pub mod openapi;
pub mod plans;
pub mod refund_on_5xx;
pub mod several_policies;
pub mod several_servers;
pub mod testing_your_app;
pub mod users;

#[cfg(test)]
mod test_helpers;
