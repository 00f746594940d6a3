//! Pictures, as scripts see them.

use super::Desk;

#[test]
fn a_picture_is_found_as_it_was_typed_or_dropped() {
    let mut desk = Desk::new();
    desk.line(
        "let path = temp_path(\"a picture.png\"); load_image(\"sample:gradient\").save(path);",
    );
    desk.line("let escaped = path; escaped.replace(\" \", \"\\\\ \");");
    for typed in ["path", "`'${path}' `", "`\"${path}\"`", "`${escaped} `"] {
        assert_eq!(desk.line(&format!("load_image({typed}).width")), "96", "{typed}");
    }
    assert_eq!(desk.line("load_image(path).name == path"), "true");
}

#[test]
fn a_picture_keeps_its_pixels_on_every_way() {
    let mut desk = Desk::new();
    desk.line("let img = load_image(\"sample:gradient\");");
    assert_eq!(desk.line("img.pixel(95, 63)"), "[255, 255, 128]");
    assert_eq!(desk.line("img.crop(95, 0, 1, 64).pixel(0, 63)"), "[255, 255, 128]");
    assert_eq!(desk.line("img.resize(96, 64).to_tensor() == img.to_tensor()"), "true");
    assert_eq!(desk.line("img.to_tensor()[63][95].sum().fixed(3)"), "\"2.502\"");
    let shown = desk.line("img");
    assert!(shown.starts_with("Image 96 x 64  sample:gradient\n"), "{shown}");
}

#[test]
fn what_cannot_be_is_said() {
    let mut desk = Desk::new();
    desk.line("let img = load_image(\"sample:gradient\");");
    desk.line("let text = temp_path(\"cat.png\"); write_file(text, \"meow\");");
    for (line, said) in [
        ("load_image(\"no such.png\")", "there is no picture no such.png; check the path"),
        (
            "load_image(\"sample:cat\")",
            "there is no sample picture `cat`; there are `gradient` and",
        ),
        ("load_image(text)", "is not a picture; PNG, JPEG, WebP, GIF, BMP are read"),
        ("img.pixel(96, 0)", "pixel 96, 0 is not inside of 96 x 64"),
        ("img.pixel(0, -1)", "pixel 0, -1 is not inside of 96 x 64"),
        ("img.crop(90, 0, 7, 1)", "7 × 1 pixels from 90, 0 on are not inside of 96 × 64"),
        ("img.crop(-1, 0, 1, 1)", "x must be at least 0, not -1"),
        ("img.resize(0, 4)", "a picture needs at least one pixel"),
        ("img.resize(100000, 100000)", "take more than 400 MB of memory"),
        ("img.resize(4, 4, #{ filter: \"nearest\" })", "there is no filter `nearest`"),
        ("img.show(#{ widht: 3 })", "did you mean `width`?"),
        ("img.save(\"cat.jpg\")", "must end in .png"),
    ] {
        let found = desk.refusal(line);
        assert!(found.contains(said), "{line}: {found}");
    }
}
