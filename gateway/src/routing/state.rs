//! What is served under which name, and how those who answer are: as the admin API shows it.

use openapi::admin::models::{ServedModel, TargetPart, TargetState};

use super::Catalog;
use super::route::Route;
use super::target::Target;

impl Catalog {
    /// Every name: the models in the order of the configuration, then the routes by name. A model whose name a route
    /// has is shown as that route.
    pub fn served(&self) -> Vec<ServedModel> {
        self.cards().into_iter().filter_map(|card| self.served_as(&card.id)).collect()
    }

    /// What answers to a name.
    pub fn served_as(&self, name: &str) -> Option<ServedModel> {
        if let Some(route) = self.routes().get(name) {
            return Some(shown(route));
        }
        let models = self.models();
        let targets = vec![state(models.target(name)?, TargetPart::Target, 1, None)];
        Some(ServedModel { name: name.to_owned(), route: None, configured: true, version: 0, targets })
    }
}

fn shown(route: &Route) -> ServedModel {
    let mut targets = Vec::new();
    for seat in route.seats() {
        let part = if seat.fallback { TargetPart::Fallback } else { TargetPart::Target };
        targets.push(state(&seat.target, part, seat.weight, seat.cap));
    }
    if let Some(shade) = route.shade() {
        targets.push(state(shade.target(), TargetPart::Shadow, 0, None));
    }
    ServedModel {
        name: route.spec().name.clone(),
        route: Some(route.spec().clone()),
        configured: route.version().is_none(),
        version: route.version().unwrap_or(0),
        targets,
    }
}

fn state(target: &Target, part: TargetPart, weight: u32, cap: Option<u32>) -> TargetState {
    TargetState {
        model: target.name().to_string(),
        part,
        weight,
        cap,
        healthy: target.is_well() && target.engine().load().ready,
        breaker: target.breaker(),
        outstanding: target.outstanding(),
        memory: target.engine().residency(),
    }
}
