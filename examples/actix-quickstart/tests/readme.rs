//! The responses that the README shows are those of this program.

use limiter_tests::Server;

/// The blocks of the README that show a response.
fn shown() -> Vec<&'static str> {
    let readme = include_str!("../../../README.md");
    let blocks = readme.split("```http\n").skip(1);
    blocks.map(|block| block.split("```").next().expect("each block ends")).collect()
}

/// The lines, sorted: the order of fields has no meaning. Seconds that pass while
/// the test runs may take one off each time.
fn lines(text: &str) -> Vec<String> {
    let text = text.replace("t=59", "t=60").replace("retry-after: 59", "retry-after: 60");
    let text = text.replace("in 59 s", "in 60 s").replace("after: 119", "after: 120");
    let text = text.replace("in 119 s", "in 120 s");
    let mut lines: Vec<_> = text.lines().map(str::to_owned).collect();
    lines.sort_unstable();
    lines
}

#[test]
fn the_readme_shows_what_a_client_sees() {
    let server = Server::start(env!("CARGO_BIN_EXE_actix-quickstart"), "PORT", &[]);
    let responses: Vec<_> = (0..21).map(|_| server.get("/actix-endpoint")).collect();
    let shown = shown();
    assert_eq!(shown.len(), 3);
    for (shown, response) in shown.into_iter().zip([&responses[0], &responses[10], &responses[20]])
    {
        let mut text = format!("HTTP/1.1 {}\n", response.status());
        for (name, value) in response.headers() {
            // Not the limiter's.
            if !matches!(name.as_str(), "content-length" | "date") {
                text += &format!("{name}: {}\n", value.to_str().expect("it is text"));
            }
        }
        if response.status() == 200 {
            // Its body, and the type of that, are the application's.
            text = text.replace("content-type: application/json\n", "");
        } else {
            text += &format!("\n{}\n", response.body());
        }
        assert_eq!(lines(&text), lines(shown));
    }
}
