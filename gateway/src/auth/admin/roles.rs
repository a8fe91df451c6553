//! An admin's work on roles.

use openapi::admin::policy::Policy;
use openapi::admin::roles::{NewRole, Role, RoleChange};

use super::{Admin, LONGEST_NAME, Outcome, check_name, check_note, missing, pinned};
use crate::auth::store::{Change, Expected};
use crate::error::{ApiError, ErrorKind};

impl Admin<'_> {
    /// Makes a role.
    pub async fn create_role(&self, new: NewRole) -> Outcome<Role> {
        check_name(&new.name, "name")?;
        check_note(&new.description, "description")?;
        self.may_grant("role.create", &new.name, &new.policy).await?;
        let role = Role {
            name: new.name,
            description: new.description,
            policy: new.policy,
            built_in: false,
            version: 0,
        };
        let made = self.put_role(role, Expected::New, "role.create").await?;
        self.access.roles_changed().await?;
        Ok(made)
    }

    /// Changes a role.
    pub async fn change_role(&self, name: &str, expected: Expected, change: RoleChange) -> Outcome<Role> {
        let old = self.access.store().role(name).await?.ok_or_else(|| missing("role", name))?;
        let policy = change.policy.applied_to(&old.policy);
        // Whoever lacks a right may neither give it nor take it away.
        self.may_grant("role.update", name, &old.policy).await?;
        self.may_grant("role.update", name, &policy).await?;
        let description = change.description.unwrap_or_else(|| old.description.clone());
        check_note(&description, "description")?;
        let expected = pinned(expected, old.version);
        self.put_role(Role { description, policy, ..old }, expected, "role.update").await
    }

    /// Removes a role that nobody has and that did not come with the program.
    pub async fn delete_role(&self, name: &str, expected: Expected) -> Outcome<()> {
        let old = self.access.store().role(name).await?.ok_or_else(|| missing("role", name))?;
        if old.built_in {
            let message = format!("the role `{name}` is built in; it can be changed but not removed");
            return Err(ApiError::new(ErrorKind::Conflict, message).with_code("built_in"));
        }
        self.may_grant("role.delete", name, &old.policy).await?;
        let change = Change::DeleteRole(name.to_owned(), pinned(expected, old.version));
        self.apply(change, "role.delete").await?;
        self.access.roles_changed().await?;
        Ok(())
    }

    async fn put_role(&self, role: Role, expected: Expected, action: &'static str) -> Outcome<Role> {
        check_models(&role.policy)?;
        let version = self.apply(Change::PutRole(role.clone(), expected), action).await?;
        Ok(Role { version, ..role })
    }
}

fn check_models(policy: &Policy) -> Outcome<()> {
    let fine = policy.models.len() <= 1000 && policy.models.iter().all(|model| model.len() <= LONGEST_NAME);
    if fine {
        Ok(())
    } else {
        Err(ApiError::invalid("too many or too long models").with_param("policy.models"))
    }
}
