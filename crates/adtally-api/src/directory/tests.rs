use super::*;

fn ad(id: i64, approved: bool, target_url: Option<&str>) -> AdTarget {
    AdTarget {
        id: AdId::new(id).unwrap(),
        target_url: target_url.map(str::to_owned),
        approved,
    }
}

fn target(directory: &Directory, id: i64) -> Target {
    directory.target(AdId::new(id).unwrap())
}

#[test]
fn only_approved_ads_with_a_web_address_lead_somewhere() {
    let directory = Directory::default();
    assert_eq!(target(&directory, 1), Target::NotLoaded);
    let ads = vec![
        ad(1, true, Some("https://example.com/a?b=ö")),
        ad(2, false, Some("https://example.com/")),
        ad(3, true, None),
        ad(4, true, Some("javascript:alert(1)")),
    ];
    assert!(directory.replace(ads, 0));
    let expected = HeaderValue::from_static("https://example.com/a?b=%C3%B6");
    assert_eq!(target(&directory, 1), Target::To(expected));
    for id in [2, 3, 4, 5] {
        assert_eq!(target(&directory, id), Target::Nowhere, "{id}");
    }
}

#[test]
fn a_load_older_than_a_change_does_not_undo_it() {
    let directory = Directory::default();
    assert!(directory.replace(vec![ad(1, true, Some("https://old.example/"))], 0));
    let before = directory.changes();
    directory.put(AdId::new(1).unwrap(), true, Some("https://new.example/"));
    assert!(!directory.replace(vec![ad(1, true, Some("https://old.example/"))], before));
    let expected = HeaderValue::from_static("https://new.example/");
    assert_eq!(target(&directory, 1), Target::To(expected));
    directory.put(AdId::new(1).unwrap(), false, Some("https://new.example/"));
    assert_eq!(target(&directory, 1), Target::Nowhere);
}
