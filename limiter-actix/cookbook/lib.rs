//! Recipes for actix-web. Each module is one, with its test.

pub mod behind_proxies;
pub mod body_key;
pub mod cors;
pub mod cost;
pub mod custom_body;
pub mod html_or_json;
pub mod login;
pub mod login_form;
pub mod messages;
pub mod openapi;
pub mod own_tests;
pub mod plans;
pub mod refund;
pub mod several_policies;
pub mod several_servers;
pub mod token_budget;
pub mod users;

#[cfg(test)]
mod testing;
