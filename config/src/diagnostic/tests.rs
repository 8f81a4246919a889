//! Is a mistake shown where it is, and no secret with it?

use super::*;

fn render(source: &str, span: Range<usize>) -> String {
    let file = Arc::from("a.toml");
    let mut findings = Findings::new(&file, source);
    findings.error(Some(span), "wrong", Some("right".to_owned()));
    findings.into_sorted()[0].render(source, Colour::Plain)
}

fn span_of(source: &str, part: &str) -> Range<usize> {
    let start = source.find(part).unwrap();
    start..start + part.len()
}

#[test]
fn carets_stand_below_the_words() {
    let source = "[resolver]\nlissen = 1\n";
    assert_eq!(
        render(source, span_of(source, "lissen")),
        "error: wrong\n --> a.toml:2:1\n  |\n2 | lissen = 1\n  | ^^^^^^\n  = help: right\n"
    );
}

#[test]
fn tabs_and_other_scripts_do_not_shift_the_carets() {
    let source = "\tgrüße =\tfalsch\r\n";
    let text = render(source, span_of(source, "falsch"));
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines[1], " --> a.toml:1:10");
    assert_eq!(lines[3], "1 |     grüße =    falsch");
    assert_eq!(lines[4], "  |                ^^^^^^");
}

#[test]
fn a_span_over_lines_is_marked_to_the_end_of_its_first() {
    let source = "a = [\n1,\n]\n";
    let text = render(source, 4..10);
    assert!(text.contains("1 | a = [\n  |     ^\n"), "{text}");
}

#[test]
fn odd_spans_neither_panic_nor_vanish() {
    let source = "ü = 1";
    for span in [0..0, 1..2, 5..5, 6..6, 6..9, 900..901] {
        let text = render(source, span.clone());
        assert!(text.contains('^'), "{span:?} {text}");
    }
    assert!(render("", 0..0).contains('^'));
}

#[test]
fn control_characters_do_not_reach_the_terminal() {
    let source = "a = \"\x1b[31m\u{202e}\"";
    let text = render(source, 0..1);
    assert!(
        !text.contains('\x1b') && !text.contains('\u{202e}'),
        "{text:?}"
    );
}

#[test]
fn secrets_are_masked_and_the_carets_follow() {
    let source = "x = { psk = \"hunter2\", y = 1 }\n";
    let text = render(source, span_of(source, "\"hunter2\""));
    assert!(!text.contains("hunter2"), "{text}");
    assert!(
        text.contains("1 | x = { psk = ***\n  |             ^^^\n"),
        "{text}"
    );
}

#[test]
fn a_finding_about_the_whole_file_shows_no_line() {
    let file = Arc::from("a.toml");
    let mut findings = Findings::new(&file, "x");
    findings.warn(None, "odd", None);
    let found = &findings.into_sorted()[0];
    assert_eq!((found.line, found.column), (0, 0));
    assert_eq!(
        found.render("x", Colour::Plain),
        "warning: odd\n --> a.toml\n"
    );
    assert!(
        found
            .render("x", Colour::Ansi)
            .contains("\x1b[1;33mwarning")
    );
}

#[test]
fn json_has_the_fields_that_the_command_promises() {
    let file = Arc::from("a.toml");
    let mut findings = Findings::new(&file, "x = 1");
    findings.error(Some(0..1), "wrong", None);
    let json = serde_json::to_value(&findings.into_sorted()[0]).unwrap();
    assert_eq!(
        json,
        serde_json::json!({ "severity": "error", "file": "a.toml", "line": 1, "column": 1, "message": "wrong" })
    );
}
