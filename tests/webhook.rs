//! Webhooks of the compiled program, called over HTTP.

use crate::program::{Program, text};

#[test]
fn a_response_of_another_server_is_passed_on() {
    let mut program = Program::empty();
    program.write(
        "scripts/a.rhai",
        r##"
        webhook("up", #{ public: true }, |request| #{
            status: 418, headers: #{ "content-type": "text/html", "x-own": "1" }, body: "<b>tea</b>"
        });
        webhook("picture", #{ public: true }, |request| #{
            status: 200, headers: #{ "content-type": "image/png" }, body: hex_decode("89ff00")
        });
        webhook("nothing", #{ public: true }, |request| ());
        "##,
    );
    // A script runs serially, so another script makes the call.
    program.write("scripts/b.rhai", r#"webhook("pass", #{ public: true }, |request| http_get(request.query.url));"#);
    program.start();
    let passed = |what: &str, shown: &str| {
        let url = format!("{}?url={}", program.hook("pass"), program.hook(what));
        program.eval(&format!(
            "let r = http_get({url:?}); `${{r.status_code}} ${{r.headers[\"content-type\"]}} ${{{shown}}}`"
        ))
    };
    assert_eq!(passed("up", "r.text"), "418 text/html <b>tea</b>");
    assert_eq!(passed("picture", "hex_encode(r.content)"), "200 image/png 89ff00");
    assert_eq!(passed("nothing", "r.text"), "204");
    let data = format!(r#"{{ "query": {{ "url": {:?} }} }}"#, program.hook("up"));
    let fired = program.run(&["fire", "b", "webhook pass", "--data", &data]);
    assert!(fired.starts_with("succeeded") && fired.contains("<b>tea</b>"), "{fired}");
}

#[test]
fn a_401_response_has_a_challenge() {
    let mut program = Program::empty();
    program.write(
        "scripts/a.rhai",
        r#"
        webhook("signed", #{ hmac: #{ secret: "k3y", header: "X-Signature" } }, |request| "in");
        webhook("token", #{ token: "t0ken" }, |request| "in");
        "#,
    );
    program.start();
    let challenge = |hook: &str, headers: &str| {
        let url = program.hook(hook);
        let call = format!("let r = http_post({url:?}, #{{ headers: {headers} }}); ");
        program.eval(&format!("{call} `${{r.status_code}} ${{r.headers[\"www-authenticate\"]}}`"))
    };
    assert_eq!(challenge("signed", "#{}"), "401 HMAC-SHA256 header=\"x-signature\"");
    assert_eq!(challenge("signed", "#{ \"X-Signature\": \"00\" }"), "401 HMAC-SHA256 header=\"x-signature\"");
    assert_eq!(challenge("token", "#{}"), "401 Bearer");
    let right = "let body = \"hello\"; http_post(URL, #{ data: body, headers: #{ \"X-Signature\": hmac_sha256(\"k3y\", body) } }).text";
    let right = program.rhaid(&["eval", &right.replace("URL", &format!("{:?}", program.hook("signed")))]);
    assert_eq!(text(&right.stdout), "in\n", "{}", text(&right.stderr));
}
