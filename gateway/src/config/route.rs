//! The entries `[[routes]]`, and what makes a route one, wherever it is written.

use openapi::admin::models::{Balance, RouteSpec, Sticky};

use super::{Invalid, require};

/// The longest name, bytes.
const LONGEST_NAME: usize = 256;
/// The most targets, and the most fallbacks.
const MOST: usize = 64;
/// The greatest weight.
const HEAVIEST: u32 = 1_000_000;

/// Checks what types cannot say. Whether its models are served is for whoever knows them.
///
/// # Errors
/// The first key whose value cannot work.
pub fn check_route(route: &RouteSpec) -> Result<(), Invalid> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_.@:+|/".contains(c);
    require(
        (1..=LONGEST_NAME).contains(&route.name.len()) && route.name.chars().all(plain),
        "name",
        "must have 1 to 256 letters, digits or -_.@:+|/",
    )?;
    check_targets(route)?;
    require(route.fallback.len() <= MOST, "fallback", "must name 64 models at most")?;
    let twice =
        |(place, model): (usize, &String)| route.fallback.iter().take(place).any(|other| other == model);
    require(!route.fallback.iter().enumerate().any(twice), "fallback", "names a model twice")?;
    require(route.retries <= 10, "retries", "must be from 0 to 10")?;
    require(
        route.balance == Balance::Weight || route.sticky == Sticky::None,
        "balance",
        "must be `weight` where `sticky` says where requests go",
    )?;
    if let Some(shadow) = &route.shadow {
        require((1..=100).contains(&shadow.percent), "shadow", "must have a `percent` from 1 to 100")?;
        require((1..=1024).contains(&shadow.at_once), "shadow", "must have an `at_once` from 1 to 1024")?;
        let itself = route.targets.iter().any(|target| target.weight > 0 && target.model == shadow.model);
        require(!itself, "shadow", "must be another model than the targets")?;
    }
    Ok(())
}

fn check_targets(route: &RouteSpec) -> Result<(), Invalid> {
    let targets = &route.targets;
    require((1..=MOST).contains(&targets.len()), "targets", "must be from 1 to 64")?;
    require(targets.iter().any(|target| target.weight > 0), "targets", "must have a weight above 0")?;
    require(
        targets.iter().all(|target| target.weight <= HEAVIEST),
        "targets",
        "must have weights of 1000000 at most",
    )?;
    require(targets.iter().all(|target| target.cap != Some(0)), "targets", "must have caps of at least 1")?;
    for (place, target) in targets.iter().enumerate() {
        let twin = targets.iter().take(place).any(|other| other.model == target.model);
        require(!twin, "targets", "name a model twice; give it one weight")?;
    }
    Ok(())
}

/// All models that a route names.
pub fn models_of(route: &RouteSpec) -> impl Iterator<Item = &str> {
    let targets = route.targets.iter().map(|target| &target.model);
    let shadow = route.shadow.iter().map(|shadow| &shadow.model);
    targets.chain(&route.fallback).chain(shadow).map(String::as_str)
}

#[cfg(test)]
mod tests {
    use openapi::admin::models::{RouteTarget, Shadow};

    use super::*;

    type Spoil = fn(&mut RouteSpec);

    fn fine() -> RouteSpec {
        let target = |model: &str| RouteTarget { model: model.to_owned(), weight: 1, cap: None };
        RouteSpec {
            name: "org/chat".to_owned(),
            targets: vec![target("a"), target("b")],
            fallback: vec!["c".to_owned(), "a".to_owned()],
            balance: Balance::LeastOutstanding,
            sticky: Sticky::None,
            retries: 2,
            shadow: Some(Shadow { model: "c".to_owned(), percent: 10, at_once: 4 }),
        }
    }

    #[test]
    fn a_route_that_cannot_work_is_refused_by_the_key_that_is_wrong() {
        assert_eq!(check_route(&fine()), Ok(()));
        let cases: [(&str, Spoil); 14] = [
            ("name", |route| route.name.clear()),
            ("name", |route| route.name = "a b".to_owned()),
            ("name", |route| route.name = "x".repeat(257)),
            ("targets", |route| route.targets.clear()),
            ("targets", |route| route.targets.iter_mut().for_each(|target| target.weight = 0)),
            ("targets", |route| route.targets[0].weight = u32::MAX),
            ("targets", |route| route.targets[0].cap = Some(0)),
            ("targets", |route| route.targets[1].model = "a".to_owned()),
            ("fallback", |route| route.fallback = vec!["c".to_owned(), "c".to_owned()]),
            ("retries", |route| route.retries = 11),
            ("balance", |route| route.sticky = Sticky::Subject),
            ("shadow", |route| route.shadow.as_mut().unwrap().percent = 0),
            ("shadow", |route| route.shadow.as_mut().unwrap().at_once = 5000),
            ("shadow", |route| route.shadow.as_mut().unwrap().model = "a".to_owned()),
        ];
        for (key, spoil) in cases {
            let mut route = fine();
            spoil(&mut route);
            assert_eq!(check_route(&route).unwrap_err().key, key, "{route:?}");
        }
    }
}
