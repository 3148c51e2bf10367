use crate::world::{Call, caller, engine, id, servers, source};
use portunus_core::id::UserName;
use portunus_policy::{ApprovalNeeded, Approved, Decision, Engine, Operation, TrustGroups, defaults};

const WRITES: &str = r#"permit (principal, action in Action::"sales", resource);
@id("ask") @reason("Writing needs the owner's yes.") @approvable("owner")
forbid (principal, action in Action::"write", resource) unless { context has approval };
"#;

fn needed(call: &Call<'_>, engine: &Engine) -> ApprovalNeeded {
    match call.decide(engine) {
        Decision::ApprovalNeeded(needed) => needed,
        other => panic!("should need an approval, but: {other:?}"),
    }
}

fn approved(needed: &ApprovalNeeded) -> Approved {
    Approved { id: id("apr"), by: UserName::parse("owen").unwrap(), binding: needed.binding }
}

#[test]
fn an_approvable_forbid_asks_and_an_approval_opens() {
    let engine = engine(WRITES);
    let call = Call::of("write_query").with(r#"{"sql":"DELETE FROM orders"}"#);
    let needed = needed(&call, &engine);
    assert_eq!(needed.approver, "owner");
    assert_eq!(needed.refused.reasons, ["Writing needs the owner's yes."]);
    assert_eq!(needed.refused.policies, ["ask"]);
    let approved = approved(&needed);
    let Decision::Permit(permit) = (Call { approval: Some(&approved), ..call }).decide(&engine) else {
        panic!()
    };
    assert_eq!(permit.approval(), Some(&id("apr")));
    assert!(Call::of("read_query").permitted(&engine));
}

#[test]
fn an_approval_is_good_for_exactly_one_call() {
    let engine = engine(WRITES);
    let arguments = r#"{"sql":"DELETE FROM orders WHERE id=1"}"#;
    let approved = approved(&needed(&Call::of("write_query").with(arguments), &engine));
    let again = |call: Call<'_>| {
        let call = Call { approval: Some(&approved), ..call };
        matches!(call.decide(&engine), Decision::Permit(_))
    };
    assert!(again(Call::of("write_query").with(arguments)));
    assert!(!again(Call::of("write_query").with(r#"{"sql":"DELETE FROM orders WHERE id=2"}"#)));
    assert!(!again(Call::of("write_query").with(r#"{ "sql":"DELETE FROM orders WHERE id=1"}"#)));
    assert!(!again(Call::of("write_query")));
    assert!(!again(Call::of("other").with(arguments)));
    assert!(!again(Call {
        caller: caller("bob", &["analysts"], "sales"),
        ..Call::of("write_query").with(arguments)
    }));
    let mut other_client = Call::of("write_query").with(arguments);
    other_client.caller.client = portunus_core::id::ClientId::parse("other").unwrap();
    assert!(!again(other_client));
}

#[test]
fn an_approval_ends_with_its_policies_and_its_tool_but_not_with_other_tools() {
    let call = || Call::of("write_query").with("{}");
    let approved = approved(&needed(&call(), &engine(WRITES)));
    let permitted = |engine: &Engine| Call { approval: Some(&approved), ..call() }.permitted(engine);
    assert!(!permitted(&engine(&format!("{WRITES}// changed"))));
    let mut servers = servers();
    servers[1].tools.clear();
    let load = |servers: &[_]| Engine::load(&[defaults::source(), source(WRITES)], servers).unwrap();
    assert!(permitted(&load(&servers)));
    servers[0].tools[1].input_schema = None;
    assert!(permitted(&load(&servers)), "nor with what is learnt about it");
    servers[0].tools[1].groups = TrustGroups::CAUTIOUS;
    assert!(!permitted(&load(&servers)));
}

#[test]
fn an_approval_does_not_lift_what_is_not_approvable() {
    let hard = format!(
        "{WRITES} @id(\"hard\") @reason(\"Never.\") forbid (principal, action in Action::\"write\", resource) when {{ context.hour == 15 }};"
    );
    let refused = Call::of("write_query").refused(&engine(&hard));
    assert_eq!(refused.policies, ["ask", "hard"]);
    assert_eq!(refused.reasons, ["Never.", "Writing needs the owner's yes."]);
    // Without an annotation, nobody is asked, and an approval of something else does not count.
    let silent = WRITES.replace("@approvable(\"owner\")", "");
    let forged =
        Approved { id: id("apr"), by: UserName::parse("ana").unwrap(), binding: *engine(WRITES).version() };
    let call = Call { approval: Some(&forged), ..Call::of("write_query") };
    assert_eq!(call.refused(&engine(&silent)).policies, ["ask"]);
    assert!(matches!(call.decide(&engine(WRITES)), Decision::ApprovalNeeded(_)));
}

#[test]
fn an_approval_is_not_asked_for_when_it_would_not_help() {
    let nothing_permits = WRITES.replace("Action::\"sales\"", "Action::\"read\"");
    assert!(matches!(Call::of("write_query").decide(&engine(&nothing_permits)), Decision::Refused(_)));
    let not_by_oneself =
        WRITES.replace("context has approval", "context has approval && context.approval.by != principal");
    let by_owner = Call { caller: caller("owen", &[], "sales"), ..Call::of("write_query") };
    assert!(matches!(by_owner.decide(&engine(&not_by_oneself)), Decision::Refused(_)));
    assert!(matches!(Call::of("write_query").decide(&engine(&not_by_oneself)), Decision::ApprovalNeeded(_)));
    let fails = WRITES
        .replace("context has approval", "context has approval && 9223372036854775807 + context.hour > 0");
    assert!(matches!(Call::of("write_query").decide(&engine(&fails)), Decision::Refused(_)));
}

#[test]
fn one_approver_cannot_stand_for_another() {
    let late = "@id(\"late\") @approvable(\"group security\") forbid (principal, action in Action::\"write\", resource) when { context.hour >= 18 } unless { context has approval };";
    let engine = engine(&format!("{WRITES}{late}"));
    let approved = approved(&needed(&Call::of("write_query"), &engine));
    let hours = |n: u64| std::time::Duration::from_secs(3600 * n);
    let at =
        |n| Call { approval: Some(&approved), ..Call::of("write_query") }.later(hours(n)).decide(&engine);
    assert!(matches!(at(0), Decision::Permit(_)));
    // In the evening two people must be asked, which one approval cannot be.
    assert!(matches!(at(4), Decision::Refused(_)));
    let only_late = format!("permit (principal, action, resource); {late}");
    let engine = crate::world::engine(&only_late);
    let call = Call { approval: Some(&approved), ..Call::of("write_query") }.later(hours(4));
    let Decision::ApprovalNeeded(needed) = call.decide(&engine) else { panic!() };
    assert_eq!(needed.approver, "group security");
}

#[test]
fn only_calls_can_be_approved() {
    let engine = engine(
        r#"permit (principal, action, resource);
        @approvable("owner") forbid (principal, action == Action::"sales/write_query", resource) unless { context has approval };
        @reason("No.") forbid (principal, action == Action::"answer", resource);"#,
    );
    assert!(matches!(
        Call { operation: Operation::Answer, ..Call::of("") }.decide(&engine),
        Decision::Refused(_)
    ));
}

#[test]
fn a_condition_on_who_approves_is_asked_with_the_one_user_that_is_named() {
    let named = |annotation: &str, by: &str| {
        let text = format!(
            "permit (principal, action, resource); @approvable(\"{annotation}\") forbid (principal, action == Action::\"sales/write_query\", resource) unless {{ context has approval && context.approval.by == User::\"{by}\" }};"
        );
        matches!(Call::of("write_query").decide(&engine(&text)), Decision::ApprovalNeeded(_))
    };
    assert!(named("user bo", "bo") && named("owner", "owen"));
    // Nobody who could be asked would satisfy these.
    assert!(!named("user bo", "cy") && !named("group dba", "bo") && !named("user bo and owner", "bo"));
}

#[test]
fn a_trial_run_is_permitted_by_default_and_can_be_forbidden() {
    let estimate = || Call { operation: Operation::Estimate("write_query"), ..Call::of("") };
    assert!(estimate().permitted(&engine(WRITES)));
    let forbidden = format!(
        "{WRITES} forbid (principal, action == Action::\"estimate\", resource == Server::\"sales\") when {{ context.target == \"write_query\" }};"
    );
    assert!(!estimate().permitted(&engine(&forbidden)));
}
