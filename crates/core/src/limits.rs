//! Every bound with its unit, on one page (law 5). What an operator may set per server is in [`ServerLimits`]; the rest
//! is fixed here.

use serde::{Deserialize, Serialize};
use std::time::Duration;

const KIB: usize = 1024;
const MIB: usize = 1024 * KIB;

// --- connections and HTTP at the edge ---

/// Open client connections per edge.
pub const CONNECTIONS: usize = 10_000;
/// Of these, those that one source address may hold.
pub const CONNECTIONS_PER_ADDRESS: usize = 2_500;
/// Calls of one user in flight at once, over all servers.
pub const CALLS_PER_USER: usize = 256;
/// Time for a TLS handshake.
pub const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// Time from a connection's (or keep-alive request's) first byte to the end of its header.
pub const HEADER_TIMEOUT: Duration = Duration::from_secs(10);
/// Time an HTTP/2 connection may live without streams (HTTP/1.1: [`HEADER_TIMEOUT`]).
pub const IDLE_TIMEOUT: Duration = Duration::from_secs(75);
/// Longest pause between two pieces of a request body.
pub const BODY_IDLE_TIMEOUT: Duration = Duration::from_secs(10);
/// Longest time for a whole request body.
pub const BODY_TIMEOUT: Duration = Duration::from_secs(30);
/// Bytes of a refused request's body that are taken in and dropped, so that the client gets to read why and its connection
/// can serve the next request; a longer one is cut off.
pub const DISCARDED_BYTES: u64 = 16 * MIB as u64;
/// Time for that.
pub const DISCARD_TIMEOUT: Duration = Duration::from_secs(1);
/// Bytes of a request header (line and fields together).
pub const HEADER_BYTES: usize = 32 * KIB;
/// Header fields in one request.
pub const HEADER_FIELDS: usize = 64;
/// Bytes of a request target.
pub const TARGET_BYTES: usize = 4 * KIB;
/// Concurrent HTTP/2 streams on one client connection.
pub const CLIENT_STREAMS: u32 = 128;
/// Streams reset by the peer and still pending before the connection is closed (rapid reset).
pub const PENDING_RESETS: usize = 20;
/// HTTP/2 frames that ask for nothing and bring nothing (PING, SETTINGS, WINDOW_UPDATE, empty DATA …) in a row before the
/// connection is closed.
pub const FREE_FRAMES: u64 = 150;
/// Of these, those that come back each second; others come back with each piece of a body, and each KiB that is sent.
pub const FREE_FRAMES_PER_SECOND: u64 = 10;
/// Time that streams and calls in flight get after SIGTERM.
pub const DRAIN_TIMEOUT: Duration = Duration::from_secs(10);
/// Time that a client may leave a piece of an event stream unread.
pub const READER_TIMEOUT: Duration = Duration::from_secs(30);
/// Interval of comment keep-alives on an idle event stream; well under the 100 s of common proxies.
pub const KEEP_ALIVE: Duration = Duration::from_secs(25);
/// Bytes of a form or JSON body at the control plane (OAuth, login, admin).
pub const FORM_BYTES: usize = 64 * KIB;

// --- certificates ---

/// DNS names that are read from a client's certificate.
pub const CLIENT_CERTIFICATE_NAMES: usize = 64;
/// Connections to the plain port at once, and those that one source address may hold are a quarter of it.
pub const PLAIN_CONNECTIONS: usize = 1000;
/// Time for a request to the plain port and its answer.
pub const PLAIN_TIMEOUT: Duration = Duration::from_secs(15);
/// Bytes of an answer from an ACME authority.
pub const ACME_ANSWER_BYTES: usize = 256 * KIB;
/// Bytes of an ACME token (128 bits or more in base64url).
pub const ACME_TOKEN_BYTES: usize = 256;
/// Time for one exchange with an ACME authority.
pub const ACME_TIMEOUT: Duration = Duration::from_secs(20);
/// Time for a whole order, and life of its challenges' answers.
pub const ACME_ORDER_TIMEOUT: Duration = Duration::from_secs(120);
/// First and longest pause between two attempts to get a certificate.
pub const ACME_PAUSE: (Duration, Duration) = (Duration::from_secs(5), Duration::from_secs(3600));
/// Shortest and longest time between two questions to the authority when to renew, whatever it says (RFC 9773 section 4.3.2).
pub const ACME_SUGGESTION: (Duration, Duration) = (Duration::from_secs(60), Duration::from_secs(24 * 3600));

// --- messages ---

/// Depth of nested arrays and objects in a message.
pub const JSON_DEPTH: usize = 64;
/// Members of one object and elements in all objects of a message together.
pub const JSON_MEMBERS: usize = 100_000;
/// Bytes of one number in a message; a longer one says nothing more to a 64-bit float, and some parsers take quadratic
/// time over it.
pub const NUMBER_BYTES: usize = KIB;
/// Bytes of a JSON-RPC string id.
pub const ID_BYTES: usize = 256;
/// Bytes of a tool, prompt or method name.
pub const NAME_BYTES: usize = 256;
/// Bytes of an `Mcp-Session-Id`.
pub const SESSION_ID_BYTES: usize = 4 * KIB;
/// Resources in one `subscriptions/listen`; each is decided by itself.
pub const SUBSCRIPTIONS: usize = 256;
/// Filtered lists of one server that are kept, and bytes of one.
pub const KEPT_LISTS: usize = 8;
/// See [`KEPT_LISTS`].
pub const KEPT_LIST_BYTES: usize = MIB;
/// Tools of one server whose mirrored arguments are remembered.
pub const MIRRORED_TOOLS: usize = 4096;
/// Pages of a list that the edge asks for by itself.
pub const LIST_PAGES: usize = 16;
/// Foreign web origins in the configuration.
pub const ORIGINS: usize = 64;
/// Questions of a server in one message.
pub const QUESTIONS: usize = 64;
/// Questions of a server in one answer, a resting stream included.
pub const QUESTIONS_PER_ANSWER: usize = 1000;
/// Users, clients, tools and pairs of user and tool whose calls are counted; past it, those that were idle longest are
/// forgotten.
pub const COUNTED: usize = 100_000;
/// Interval at which counts are written to the store: so much is lost when the process is killed.
pub const COUNTS_WRITTEN: Duration = Duration::from_secs(1);
/// Sessions (user and client) whose labels are kept in memory.
pub const LABELLED_SESSIONS: usize = 10_000;
/// Labels on one session, and in the whole configuration.
pub const LABELS: usize = 64;
/// Bytes of a label, and of the name of a data class.
pub const LABEL_BYTES: usize = 64;
/// Time that a label stays on a session when the configuration does not say.
pub const LABEL_TTL: Duration = Duration::from_secs(8 * 3600);
/// Time that a client has to continue a call with the `requestState` it was given.
pub const REQUEST_STATE_TTL: Duration = Duration::from_secs(3600);
/// Bytes of a resource URI or a task id.
pub const URI_BYTES: usize = 4 * KIB;
/// Bytes of one server-sent event that must be held whole to be inspected.
pub const EVENT_BYTES: usize = 8 * MIB;
/// Bytes of SQL text that is parsed for facts.
pub const SQL_BYTES: usize = 64 * KIB;
/// Bytes of a call's arguments kept in its record; longer ones are recorded by digest only.
pub const RECORDED_ARGUMENT_BYTES: usize = 8 * KIB;
/// Bytes of a caller's groups, scopes and sign-in kept in a call's record; if they are longer, the record has none of them.
pub const RECORDED_CIRCUMSTANCE_BYTES: usize = 4 * KIB;

// --- between the protocol eras ---

/// Time for which it is remembered which era an upstream speaks.
pub const ERA_TTL: Duration = Duration::from_secs(10 * 60);
/// The same after an answer that casts doubt on it.
pub const ERA_DOUBT: Duration = Duration::from_secs(5);
/// Time to find out which era an upstream speaks, and for any other message of the bridge's own.
pub const ERA_PROBE_TIMEOUT: Duration = Duration::from_secs(10);
/// Time that a legacy upstream's answer is waited for before the client gets the head of a stream.
pub const BRIDGE_COMMIT: Duration = Duration::from_secs(1);
/// Sessions that the bridge keeps for one server, and for one caller among them.
pub const BRIDGED_SESSIONS: (usize, usize) = (4096, 16);
/// Time without use after which a session with a legacy upstream is ended.
pub const UPSTREAM_SESSION_IDLE: Duration = Duration::from_secs(5 * 60);
/// Messages of a session's stream that wait for the call or subscription they are about.
pub const BRIDGED_MESSAGES: usize = 16;
/// Attempts to resume one answer's stream without anything new on it.
pub const BRIDGE_RESUMPTIONS: u32 = 8;
/// Calls of one server that wait for a client's answer to a question of the server, and of one caller among them.
pub const PARKED_CALLS: (usize, usize) = (1024, 16);
/// Time that such a call waits; people fill in forms.
pub const PARKED_TTL: Duration = Duration::from_secs(10 * 60);
/// Time without use after which the session of a legacy client with the bridge itself may be forgotten.
pub const VISIT_IDLE: Duration = Duration::from_secs(30 * 60);
/// Questions of servers that one legacy client has not answered.
pub const BRIDGED_QUESTIONS: usize = 32;
/// Rounds of questions before one call is given up.
pub const INPUT_ROUNDS: usize = 16;
/// Pause before a call is sent again that the server wants to be repeated without any question.
pub const ROUND_PAUSE: Duration = Duration::from_millis(200);

// --- policy ---

/// Bytes of all policy files together.
pub const POLICY_BYTES: usize = 4 * MIB;
/// Bytes of an annotation in a policy that people get to see.
pub const POLICY_ANNOTATION_BYTES: usize = 300;
/// Kinds of difference between the policies in force and a candidate beside them that are told apart.
pub const SHADOW_ROWS: usize = 512;
/// Kinds of difference that a replay of recorded calls tells apart.
pub const REPLAY_ROWS: usize = 10_000;
/// Changes of a refused request that are tried to find what would lift the refusal.
pub const ADVICE_TRIED: usize = 4096;
/// Bytes of a tool's input schema that is turned into types for policies; a longer one counts as not known.
pub const INPUT_SCHEMA_BYTES: usize = 256 * KIB;
/// Tokens of SQL text that can nest (operators, keywords); a text with more is not parsed.
pub const SQL_NESTING_TOKENS: usize = 2000;
/// Parentheses, brackets and `CASE`s open at once in SQL text; a text with more is not parsed.
pub const SQL_DEPTH: usize = 24;
/// Names compared while the columns of SQL text are told apart; a text that needs more has incomplete facts.
pub const SQL_STEPS: usize = 500_000;

// --- pins ---

/// Bytes of one tool's, prompt's or resource's definition that can be pinned; a longer one stays hidden.
pub const DEFINITION_BYTES: usize = 256 * KIB;
/// Bytes of all pinned definitions of one server, and of all its definitions that wait to be accepted.
pub const DEFINITIONS_BYTES: usize = 8 * MIB;
/// Pinned definitions of one kind (tools, prompts …) of one server.
pub const PINS: usize = 4096;
/// Widgets that one answer embeds, and URIs of widgets that it points to; an answer with more is withheld.
pub const WIDGETS_PER_ANSWER: usize = 64;
/// Definitions of one kind of one server that are not accepted and are remembered.
pub const QUARANTINED: usize = 1024;
/// Bytes of the lockfile.
pub const LOCK_BYTES: usize = 64 * MIB;
/// Members and elements in the lockfile.
pub const LOCK_MEMBERS: usize = 4_000_000;
/// Bytes of the name of whoever accepted a definition.
pub const ACCEPTED_BY_BYTES: usize = 256;
/// Time from the first page of a server's first listing to the last one that is taken as accepted.
pub const FIRST_SIGHT: Duration = Duration::from_secs(60);
/// Warnings about one definition.
pub const FLAGS: usize = 64;
/// Words of two texts together that are compared word by word; longer ones are compared line by line, if that is less.
pub const COMPARED_WORDS: usize = 4000;

// --- authorization ---

/// Life of an authorization code.
pub const CODE_TTL: Duration = Duration::from_secs(60);
/// Life of an access token.
pub const ACCESS_TTL: Duration = Duration::from_secs(15 * 60);
/// Life of a refresh token; each rotation starts it anew.
pub const REFRESH_TTL: Duration = Duration::from_secs(30 * 24 * 3600);
/// Life of a device's request to be let in, and of the code it shows.
pub const DEVICE_TTL: Duration = Duration::from_secs(10 * 60);
/// Shortest time between two questions of a device; one that asks sooner must wait that much longer.
pub const DEVICE_INTERVAL: Duration = Duration::from_secs(5);
/// Devices that wait at once.
pub const DEVICE_REQUESTS: u64 = 10_000;
/// Typed codes in [`LOGIN_WINDOW`] that were none, of all users together: with [`DEVICE_REQUESTS`] codes of 43 bits the
/// chance that one is hit is about one in a million.
pub const DEVICE_GUESSES: u32 = 1_000;
/// Bytes of a `DPoP` proof.
pub const DPOP_PROOF_BYTES: usize = 4 * KIB;
/// Age at which such a proof is refused.
pub const DPOP_AGE: Duration = Duration::from_secs(120);
/// Age at which the nonce in it is refused.
pub const DPOP_NONCE_AGE: Duration = Duration::from_secs(5 * 60);
/// Proofs remembered in one span of their age; further ones are refused.
pub const DPOP_PROOFS: usize = 200_000;
/// Of these, how many one user, or at the token endpoint one key, may take up: more than a hundred a second.
pub const DPOP_PROOFS_EACH: usize = DPOP_PROOFS / 10;
/// Bytes of an assertion of a platform or identity provider.
pub const FOREIGN_ASSERTION_BYTES: usize = 16 * KIB;
/// Longest life of a platform's token for a workload.
pub const WORKLOAD_TOKEN_LIFE: Duration = Duration::from_secs(24 * 3600);
/// Longest life of an access token of a workload.
pub const WORKLOAD_TTL: Duration = Duration::from_secs(3600);
/// Longest life of an identity provider's assertion (ID-JAG).
pub const ID_JAG_LIFE: Duration = Duration::from_secs(20 * 60);
/// Time for which a grant that has no refresh token is kept after its access token has ended.
pub const ENDED_GRANT_KEPT: Duration = Duration::from_secs(24 * 3600);
/// Clients that one token can go through by exchange.
pub const EXCHANGES: usize = 8;
/// Life of a browser session.
pub const SESSION_TTL: Duration = Duration::from_secs(12 * 3600);
/// Life of a join token.
pub const JOIN_TTL: Duration = Duration::from_secs(24 * 3600);
/// Life of a connector's certificate; it renews at two thirds.
pub const CONNECTOR_CERT_TTL: Duration = Duration::from_secs(24 * 3600);
/// Life of the assertion to an upstream.
pub const ASSERTION_TTL: Duration = Duration::from_secs(60);
/// How long before or after its life an assertion is still accepted, for clocks that differ.
pub const ASSERTION_LEEWAY: Duration = Duration::from_secs(5);
/// Bytes of an assertion.
pub const ASSERTION_BYTES: usize = 32 * KIB;
/// Life of a pending or allowed approval, unless the configuration says otherwise.
pub const APPROVAL_TTL: Duration = Duration::from_secs(15 * 60);
/// Shortest and longest life of an approval that the configuration may say.
pub const APPROVAL_TTLS: (Duration, Duration) = (Duration::from_secs(60), Duration::from_secs(24 * 3600));
/// Time after its end in which a decision about an approval that was under way may still be stored.
pub const APPROVAL_SETTLES: Duration = Duration::from_secs(60);
/// Time after its end that an approval is kept, to be recorded as expired.
pub const APPROVAL_KEPT: Duration = Duration::from_secs(3600);
/// Approvals that are recorded as expired in one go.
pub const APPROVALS_ENDED: usize = 200;
/// Approvals of one user that are asked for and not used, denied ones too, until they expire; further ones are refused.
pub const APPROVALS_PER_USER: usize = 20;
/// Approvals of one user that are kept and were not used, those that ran out within [`APPROVAL_KEPT`] too.
pub const APPROVALS_KEPT_PER_USER: usize = 60;
/// Times that a call looks for an approval anew when equal calls were quicker.
pub const APPROVAL_TRIES: usize = 4;
/// Bytes of arguments that a person is asked to judge; a call with more cannot be approved.
pub const APPROVAL_ARGUMENTS_BYTES: usize = 64 * KIB;
/// People whose yes one approval may need.
pub const APPROVERS: usize = 4;
/// Names of each kind (tables, columns …) in the summary of a call's SQL, and bytes of one name.
pub const APPROVAL_SQL_NAMES: (usize, usize) = (64, 200);
/// Characters of an approver's reason.
pub const APPROVAL_REASON_CHARS: usize = 300;
/// Time for a trial run that estimates what a statement would change.
pub const TRIAL_TIMEOUT: Duration = Duration::from_secs(5);
/// Trial runs at once, per edge; a call beyond them is asked about without an estimate.
pub const TRIALS: usize = 4;
/// Bytes of a trial run's answer.
pub const TRIAL_ANSWER_BYTES: usize = 64 * KIB;
/// Longest time that a repeated call waits for the approver before its client is told to come back.
pub const APPROVAL_WAIT: Duration = Duration::from_secs(20);
/// Calls that wait so at once, per edge; others are told to come back right away.
pub const APPROVAL_WAITERS: usize = 64;
/// Time from one try to deliver a webhook to the next; there are no more tries than these, and the first.
pub const WEBHOOK_RETRIES: [Duration; 4] =
    [Duration::from_secs(1), Duration::from_secs(5), Duration::from_secs(30), Duration::from_secs(120)];
/// Webhooks that wait to be delivered; approvals beyond them are not announced.
pub const WEBHOOKS: usize = 256;
/// How far the time of a signed decision may be from ours.
pub const WEBHOOK_TOLERANCE: Duration = Duration::from_secs(300);
/// Bytes of a webhook's secret.
pub const WEBHOOK_SECRET_BYTES: (usize, usize) = (24, 128);
/// Bytes of a client metadata document (CIMD).
pub const CLIENT_DOCUMENT_BYTES: usize = 16 * KIB;
/// Time to fetch a client metadata document.
pub const CLIENT_DOCUMENT_TIMEOUT: Duration = Duration::from_secs(5);
/// Time for which a fetched client metadata document is used: at least, and at most, whatever its server says.
pub const CLIENT_DOCUMENT_FRESH: (Duration, Duration) =
    (Duration::from_secs(60), Duration::from_secs(24 * 3600));
/// Time for which a client metadata document that could not be fetched is not asked for again.
pub const CLIENT_DOCUMENT_RETRY: Duration = Duration::from_secs(60);
/// Bytes of a JSON Web Key Set that a client publishes.
pub const KEY_SET_BYTES: usize = 64 * KIB;
/// Keys in it.
pub const KEY_SET_KEYS: usize = 32;
/// Bytes of an RSA modulus in it: the fewest, and the most.
pub const RSA_MODULUS_BYTES: (usize, usize) = (256, 512);
/// Bytes of a signed assertion that a client or workload proves itself with.
pub const SIGNED_ASSERTION_BYTES: usize = 8 * KIB;
/// Longest time until the end of such an assertion.
pub const SIGNED_ASSERTION_TTL: Duration = Duration::from_secs(10 * 60);
/// How far the clock of whoever signed it may be off.
pub const SIGNED_ASSERTION_SKEW: Duration = Duration::from_secs(30);
/// Assertions that one source address may present in [`LOGIN_WINDOW`]; each that is good is remembered until it ends.
pub const SIGNED_ASSERTIONS: u32 = 200_000;
/// Time after which a document or key set is fetched anew for a key that is not in it.
pub const KEY_SET_RETRY: Duration = Duration::from_secs(60);
/// Bytes of one redirect URI.
pub const REDIRECT_URI_BYTES: usize = 2048;
/// Bytes of a scope's name, and of its description.
pub const SCOPE_BYTES: usize = 128;
/// Scopes that one server may declare.
pub const SCOPES: usize = 32;
/// Life of an access token, and of a refresh token, that may be configured.
pub const TOKEN_LIVES: ((Duration, Duration), (Duration, Duration)) = (
    (Duration::from_secs(1), Duration::from_secs(24 * 3600)),
    (Duration::from_secs(60), Duration::from_secs(400 * 24 * 3600)),
);
/// The age that providers are asked for when none is wished for: any will do, but a provider that is asked must say when
/// its user signed in (OpenID Connect Core section 2, `auth_time`).
pub const ANY_SIGN_IN_AGE: Duration = Duration::from_secs(365 * 24 * 3600);
/// How old a sign-in may be for a client that asks for a new one (`prompt=login`).
pub const NEW_SIGN_IN: Duration = Duration::from_secs(60);
/// Bytes of the `state` of an authorization request.
pub const STATE_BYTES: usize = 2048;
/// Parameters of one form or query at the control plane.
pub const FORM_FIELDS: usize = 64;
/// Characters of a name a client gave itself, as shown and recorded.
pub const CLIENT_NAME_CHARS: usize = 80;
/// Longest life of an access token that an administrator issues for a script.
pub const ISSUED_TTL: Duration = Duration::from_secs(24 * 3600);
/// Bytes of a password: the fewest one may choose, and the most that is hashed.
pub const PASSWORD_BYTES: (usize, usize) = (12, 256);
/// Password hashes computed at once (each takes 19 MiB for some tens of milliseconds).
pub const PASSWORD_HASHES: usize = 4;
/// Clients one source address may register in [`LOGIN_WINDOW`].
pub const REGISTRATIONS: u32 = 60;
/// Clients of each sort on one page of the console.
pub const CLIENTS_SHOWN: usize = 100;
/// Redirect URIs per client.
pub const REDIRECT_URIS: usize = 16;
/// Clients registered dynamically that are kept without any grant.
pub const REGISTERED_CLIENTS: usize = 10_000;
/// Failed sign-ins per user name, and per source address, in [`LOGIN_WINDOW`] before further ones are refused.
pub const LOGIN_FAILURES: u32 = 10;
/// See [`LOGIN_FAILURES`].
pub const LOGIN_WINDOW: Duration = Duration::from_secs(15 * 60);
/// Entries in any table of throttles.
pub const THROTTLE_ENTRIES: usize = 100_000;
/// Access tokens in the edge's warm cache.
pub const CACHED_CALLERS: usize = 100_000;
/// Longest time a warm caller is trusted without looking at the store again.
pub const CALLER_TTL: Duration = Duration::from_secs(30);

/// Authentication method references kept of one sign-in, and the bytes of each, and of the context class.
pub const AMR_VALUES: usize = 16;
/// See [`AMR_VALUES`].
pub const AMR_BYTES: usize = 128;
/// Bytes of one answer that the doctor reads.
pub const DOCTOR_BYTES: usize = 4 * MIB;
/// Tools, and pages of them, that the doctor looks at.
pub const DOCTOR_TOOLS: (usize, usize) = (5000, 50);
/// Time in which a person signs in for the doctor.
pub const DOCTOR_SIGN_IN: Duration = Duration::from_secs(5 * 60);
/// Bytes of a signed token of somebody else (an ID token, a logout token).
pub const FOREIGN_TOKEN_BYTES: usize = 48 * KIB;
/// How far the clocks of those who sign tokens for us may be off.
pub const CLOCK_SKEW: Duration = Duration::from_secs(60);
/// Identity providers.
pub const PROVIDERS: usize = 16;
/// Bytes of an answer of an identity provider: discovery, keys, tokens, user information.
pub const PROVIDER_ANSWER_BYTES: usize = 256 * KIB;
/// Time for one request to an identity provider, from the look-up of its name to the last byte.
pub const PROVIDER_TIMEOUT: Duration = Duration::from_secs(10);
/// Time for which a provider's keys and discovery document are used before they are fetched anew.
pub const PROVIDER_FRESH: Duration = Duration::from_secs(3600);
/// The same for the discovery document when somebody is about to be sent there: so soon it is noticed that it is down.
pub const PROVIDER_UP: Duration = Duration::from_secs(30);
/// Pause after a failed attempt to reach a provider, and between two fetches of its keys.
pub const PROVIDER_PAUSE: Duration = Duration::from_secs(5);
/// Time to sign in at an identity provider.
pub const ATTEMPT_TTL: Duration = Duration::from_secs(15 * 60);
/// Attempts to sign in at identity providers that one browser may have open.
pub const ATTEMPTS_PER_BROWSER: usize = 4;
/// Passkeys of one user.
pub const PASSKEYS_PER_USER: usize = 10;
/// Time to answer the challenge of a passkey.
pub const CHALLENGE_TTL: Duration = Duration::from_secs(5 * 60);
/// Characters of one member of a passkey's answer.
pub const PASSKEY_BYTES: usize = 16 * KIB;
/// Groups taken over from an identity provider.
pub const PROVIDER_GROUPS: usize = 256;

// --- tunnel ---

/// Links that one connector may hold.
pub const LINKS_PER_CONNECTOR: usize = 8;
/// Connectors for one server.
pub const CONNECTORS_PER_SERVER: usize = 64;
/// Concurrent calls on one link.
pub const LINK_STREAMS: u32 = 256;
/// Interval of HTTP/2 pings on a link, and the time to wait for an answer before the link counts as dead.
pub const LINK_PING: Duration = Duration::from_secs(5);
/// First and longest pause between two attempts of a connector to dial.
pub const RECONNECT_PAUSE: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(30));
/// Time to open a link: TCP, TLS and HTTP/2 settings.
pub const LINK_TIMEOUT: Duration = Duration::from_secs(15);
/// Bytes one call may have on its way over a link in one direction before its reader takes some.
pub const LINK_STREAM_WINDOW: u32 = 256 * 1024;
/// The same for all calls of a link together; 64 stalled readers fill it.
pub const LINK_WINDOW: u32 = 16 * 1024 * 1024;
/// Time for a connector to open a connection to the server beside it.
pub const TARGET_TIMEOUT: Duration = Duration::from_secs(5);
/// Idle connections to the server beside a connector are closed after that; less than the 5 s of common servers, so
/// that a request does not meet a connection that is just being closed.
pub const TARGET_IDLE: Duration = Duration::from_secs(4);
/// Bytes of a request to enrol or renew, and of its answer.
pub const ENROL_BYTES: usize = 16 * KIB;
/// How far a connector's clock may be off when it renews; also how long a renewal can be replayed.
pub const RENEWAL_SKEW: Duration = Duration::from_secs(5 * 60);
/// How long a connector may be away before it must enrol anew instead of renewing.
pub const CONNECTOR_DORMANCY: Duration = Duration::from_secs(30 * 24 * 3600);
/// Certificates start that much in the past, for clocks that are behind.
pub const CERT_BACKDATE: Duration = Duration::from_secs(5 * 60);
/// Life of a server certificate signed by the local authority.
pub const LOCAL_CERT_TTL: Duration = Duration::from_secs(90 * 24 * 3600);
/// Life of the edge's own certificate authorities.
pub const AUTHORITY_TTL: Duration = Duration::from_secs(10 * 365 * 24 * 3600);

// --- child processes ---

/// Bytes of one line that a child writes to its standard output.
pub const CHILD_LINE_BYTES: usize = EVENT_BYTES;
/// Requests to one child that wait for their answers.
pub const CHILD_REQUESTS: usize = 1024;
/// Bytes on their way to one child that it has not read yet.
pub const CHILD_INPUT_BYTES: usize = 16 * MIB;
/// Bytes from one child that its callers have not read yet.
pub const CHILD_OUTPUT_BYTES: usize = 64 * MIB;
/// The same for one request, its answer aside; further notifications are dropped.
pub const CHILD_NOTIFICATION_BYTES: usize = MIB;
/// Lines in a row on a child's standard output that are no messages, before it is ended.
pub const CHILD_GARBAGE_LINES: usize = 1000;
/// Bytes of one line of a child's standard error that are logged.
pub const CHILD_ERROR_LINE_BYTES: usize = 2 * KIB;
/// Lines of a child's standard error that are logged in one second; the others are counted.
pub const CHILD_ERROR_LINES: u32 = 50;
/// Requests of one child to its client that wait for an answer.
pub const CHILD_QUESTIONS: usize = 64;
/// Children of one server.
pub const CHILDREN: usize = 64;
/// Of these, those of one caller.
pub const CHILDREN_PER_CALLER: usize = 4;
/// Starts of children of one server in one minute.
pub const CHILD_STARTS_PER_MINUTE: usize = 60;
/// Time for a child to answer the handshake.
pub const CHILD_START_TIMEOUT: Duration = Duration::from_secs(45);
/// Time for a child to answer `server/discover`; one that knows only the handshake may say nothing at all.
pub const CHILD_DISCOVER_TIMEOUT: Duration = Duration::from_secs(10);
/// First and longest pause before a child that ended is started again.
pub const CHILD_PAUSE: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(60));
/// A child that lived this long before it ended is started again after the first pause.
pub const CHILD_STEADY: Duration = Duration::from_secs(60);
/// Time for a child to end by itself after its standard input was closed, and again after SIGTERM.
pub const CHILD_GRACE: Duration = Duration::from_secs(2);
/// A child without sessions, requests and streams is ended after that.
pub const CHILD_IDLE: Duration = Duration::from_secs(10 * 60);
/// An answer that nobody waits for any more: the child is told to give up after that.
pub const CHILD_ABANDONED: Duration = Duration::from_secs(10 * 60);
/// Of those that nobody waits for any more, those of one caller at one child; the oldest is given up.
pub const CHILD_ABANDONED_PER_CALLER: usize = 32;
/// Legacy sessions with the children of one server.
pub const CHILD_SESSIONS: usize = 10_000;
/// Of these, those of one caller; the one that was not used for the longest time makes room.
pub const CHILD_SESSIONS_PER_CALLER: usize = 64;
/// A session that is not used ends after that.
pub const CHILD_SESSION_IDLE: Duration = Duration::from_secs(3600);
/// Resources that one session may subscribe to.
pub const CHILD_SUBSCRIPTIONS: usize = SUBSCRIPTIONS;

// --- ledger ---

/// Records waiting to become durable before new calls are refused.
pub const LEDGER_QUEUE: usize = 8192;
/// Bytes of records waiting to become durable before new calls are refused.
pub const LEDGER_QUEUE_BYTES: usize = 32 * MIB;
/// Bytes of one record.
pub const RECORD_BYTES: usize = 32 * KIB;
/// Time to wait for a record to become durable before the call is refused.
pub const LEDGER_TIMEOUT: Duration = Duration::from_secs(5);

// --- store ---

/// Bytes of one stored document.
pub const DOCUMENT_BYTES: usize = 256 * KIB;
/// Bytes of a stored document's id, and of its parent's.
pub const DOCUMENT_ID_BYTES: usize = 2 * KIB;
/// Steps of one batch.
pub const BATCH_STEPS: usize = 1000;
/// Documents on one page of a list.
pub const PAGE_DOCUMENTS: usize = 1000;
/// Reads, and commits, waiting for the store before further ones are refused.
pub const STORE_QUEUE: usize = 8192;

// --- results ---

/// Bytes of a pattern that an operator gives for a class of values.
pub const PATTERN_BYTES: usize = KIB;
/// Bytes that one compiled pattern may take, and its lazily built automaton again.
pub const PATTERN_COMPILED_BYTES: usize = MIB;
/// Classes that an operator may add.
pub const PATTERNS: usize = 64;
/// Bytes of such a class's name.
pub const CLASS_NAME_BYTES: usize = 32;
/// JSON texts within strings of JSON texts that are read as JSON; deeper ones are read as plain text.
pub const JSON_IN_TEXT: usize = 6;
/// Bytes of a line of plain text that is looked at whole.
pub const SCREENED_LINE_BYTES: usize = 64 * KIB;
/// Bytes of a private key whose end is waited for.
pub const PRIVATE_KEY_BYTES: usize = 64 * KIB;

// --- credentials ---

/// Bytes of an upstream secret.
pub const SECRET_BYTES: usize = 8 * KIB;
/// Versions of a credential that are kept; the oldest is dropped for the next.
pub const CREDENTIAL_VERSIONS: usize = 8;
/// Bytes of a credential's owner or purpose.
pub const CREDENTIAL_TEXT_BYTES: usize = KIB;
/// Hosts of a credential.
pub const CREDENTIAL_HOSTS: usize = 16;
/// Scopes of a credential.
pub const CREDENTIAL_SCOPES: usize = 64;
/// Interval of a look at what governance does by itself.
pub const GOVERNANCE_SWEEP: Duration = Duration::from_secs(60);
/// Records in one evidence pack; a longer period is split.
pub const EVIDENCE_RECORDS: u64 = 5_000_000;
/// Bytes of records in one answer while a pack is fetched, but for the last record in it.
pub const EVIDENCE_PAGE_BYTES: usize = 8 * MIB;
/// Time in which the ledger signs the checkpoint that a pack needs.
pub const EVIDENCE_SIGNED: Duration = Duration::from_secs(30);
/// Bytes of a manifest or a proof of an evidence pack, as whoever checks it reads them.
pub const EVIDENCE_PROOF_BYTES: usize = MIB;
/// Bytes of the reviews and keys of an evidence pack, as whoever checks it reads them.
pub const EVIDENCE_REVIEWS_BYTES: usize = 256 * MIB;
/// Changes of documents that governance reads one by one; beyond that it reads everything anew.
pub const MIRROR_CHANGES: usize = 20_000;
/// Time after its last use that a counter of uses is kept; the ledger is the lasting record.
pub const USES_KEPT: Duration = Duration::from_secs(400 * 86_400);
/// Counters of uses that are kept, and how many are left when there are too many: those used longest ago go first.
pub const USES_STORED: (usize, usize) = (250_000, 200_000);
/// Shortest and longest time of access in an emergency.
pub const EMERGENCY_LIFE: (Duration, Duration) = (Duration::from_secs(60), Duration::from_secs(3600));
/// Time in which two others must allow it.
pub const EMERGENCY_ANSWER: Duration = Duration::from_secs(30 * 60);
/// Bytes of the reason for one.
pub const EMERGENCY_REASON_BYTES: usize = KIB;
/// Emergencies of one user that wait or are active.
pub const EMERGENCIES_PER_USER: usize = 3;
/// Time after it was asked for that one is kept; the ledger is the lasting record.
pub const EMERGENCY_KEPT: Duration = Duration::from_secs(400 * 86_400);
/// Interval of a look at emergencies that end.
pub const EMERGENCY_SWEEP: Duration = Duration::from_secs(1);
/// Counted uses of identities that wait to be written.
pub const USES_HELD: usize = 16_384;
/// Unregistered things seen in traffic: so many are listed, so many of one user's requests, and so many wait to be written.
pub const OBSERVED: usize = 1000;
/// See [`OBSERVED`].
pub const OBSERVED_PER_USER: usize = 50;
/// See [`OBSERVED`].
pub const OBSERVED_HELD: usize = 256;
/// Time after it was last seen that an unregistered thing is forgotten.
pub const OBSERVED_KEPT: Duration = Duration::from_secs(30 * 86_400);
/// Hosts that one server points at and that are listed.
pub const OBSERVED_HOSTS: usize = 10;
/// Characters of an unregistered thing's name.
pub const OBSERVED_NAME_CHARS: usize = 128;
/// Secrets in one call that are looked at; it is refused for the first.
pub const OBSERVED_IN_CALL: usize = 8;
/// The longest time that a credential's age is put up with.
pub const WAIVER_LIFE: Duration = Duration::from_secs(90 * 86_400);
/// Credentials in the warm cache.
pub const CACHED_CREDENTIALS: usize = 1024;
/// Client certificates of one upstream for which a TLS configuration is kept.
pub const UPSTREAM_CERTIFICATES: usize = 4;
/// Time without a new request after which a process that was started with one version of a credential is ended, once
/// there is a process with another version that was asked later.
pub const CHILD_SUPERSEDED: Duration = Duration::from_secs(5);
/// The same for a process that is still at work.
pub const CHILD_DRAIN: Duration = Duration::from_secs(10 * 60);
/// Longest time a warm credential is trusted without looking at the store again.
pub const CREDENTIAL_TTL: Duration = Duration::from_secs(30);

// --- finding what nobody registered ---

/// Bytes of one configuration or environment file that is read for servers and secrets.
pub const DISCOVER_FILE_BYTES: u64 = 8 * MIB as u64;
/// Files of one search, and directories of projects.
pub const DISCOVER_FILES: usize = 4096;
/// Entries of a directory that are looked at where a file's place holds `*`.
pub const DISCOVER_ENTRIES: usize = 1024;
/// Depth of nested tables and lists in a configuration file.
pub const DISCOVER_DEPTH: usize = 64;
/// Values in one configuration file.
pub const DISCOVER_NODES: usize = 1_000_000;
/// Servers, and secrets, that are kept of one file, process or path.
pub const DISCOVER_FOUND: usize = 10_000;
/// Processes that are looked at.
pub const DISCOVER_PROCESSES: usize = 65_536;
/// Bytes of a process's command line, and of its environment.
pub const DISCOVER_PROCESS_BYTES: u64 = 2 * MIB as u64;
/// Paths of a KV store that are listed and read, and levels of them.
pub const DISCOVER_KV_PATHS: usize = 10_000;
/// See [`DISCOVER_KV_PATHS`].
pub const DISCOVER_KV_DEPTH: usize = 32;
/// Bytes of a text that is shown of what was found; a longer one is not.
pub const DISCOVER_SHOWN_BYTES: usize = 4 * KIB;
/// Secrets in one question for fingerprints.
pub const FINGERPRINTS: usize = 256;

// --- the sealing key ---

/// Epochs of the sealing key that are remembered; the oldest that is no longer needed makes room.
pub const KEY_EPOCHS: usize = 16;
/// Documents that are rewrapped in one commit.
pub const REWRAP_BATCH: usize = 32;
/// Longest time between sealing a value and its commit: so long after a change of the sealing key nothing new is committed
/// that was sealed with the old one.
pub const REWRAP_SETTLE: Duration = Duration::from_secs(5);
/// Time for one exchange with a key service.
pub const KEY_SERVICE_TIMEOUT: Duration = Duration::from_secs(10);
/// Bytes of a key service's answer.
pub const KEY_SERVICE_ANSWER_BYTES: usize = 64 * KIB;
/// Bytes of a wrapped sealing key.
pub const WRAPPED_KEY_BYTES: usize = 8 * KIB;
/// Bytes of a file with a token or access keys for a key service.
pub const KEY_SERVICE_SECRET_BYTES: u64 = 64 * 1024;

// --- rotation ---

/// Time for ending a revoked credential's secrets at its upstream and trying them.
pub const REVOCATION_PROOF: Duration = Duration::from_secs(45);
/// Shortest pause before a secret that is over and was not seen dead is tried again.
pub const UNDEAD_TRIED: Duration = Duration::from_secs(3600);
/// One step of a rotation, what it asks of an upstream included.
pub const ROTATION_STEP_TIMEOUT: Duration = Duration::from_secs(60);
/// One request to an upstream or a plug-in, of which a step makes a few.
pub const ROTATION_REQUEST_TIMEOUT: Duration = Duration::from_secs(15);
/// How long a node may keep others from a rotation; longer than a step, with room for clocks that differ.
pub const ROTATION_LEASE: Duration = Duration::from_secs(120);
/// Longest time that calls carrying an old version are waited for, unless the plan says otherwise.
pub const ROTATION_DRAIN: Duration = Duration::from_secs(10 * 60);
/// Longest time a plan may say.
pub const ROTATION_DRAIN_LONGEST: Duration = Duration::from_secs(24 * 3600);
/// Shortest time between two rotations by age.
pub const ROTATION_SHORTEST: Duration = Duration::from_secs(60);
/// Attempts at a step before the switch, after which the new version is given up.
pub const ROTATION_ATTEMPTS: u32 = 5;
/// The first pause after a failure, and the longest; each is twice the one before.
pub const ROTATION_PAUSE: (Duration, Duration) = (Duration::from_secs(2), Duration::from_secs(15 * 60));
/// Rotations under way at once on one node.
pub const ROTATIONS: usize = 4;
/// Bytes of why an attempt failed.
pub const ROTATION_ERROR_BYTES: usize = 512;
/// Bytes of an account or handle that an upstream or a plug-in names.
pub const ROTATION_ACCOUNT_BYTES: usize = 512;
/// Bytes of an answer of an upstream or a plug-in to a rotator.
pub const ROTATION_ANSWER_BYTES: usize = 64 * KIB;
/// Bytes of a rotation plan's settings.
pub const ROTATION_SETTINGS_BYTES: usize = 8 * KIB;

// --- certificates for upstream servers ---

/// Shortest, usual and longest life of a certificate that an authority of Portunus signs for an upstream server.
pub const ISSUED_LIFE: (Duration, Duration, Duration) =
    (Duration::from_secs(300), Duration::from_secs(24 * 3600), Duration::from_secs(90 * 24 * 3600));
/// Certificates of one authority that have not ended, revoked ones included: each is looked at when one is made.
pub const ISSUED_CERTIFICATES: usize = 4096;
/// Connections to the agent of one program at once; others wait.
pub const AGENT_CONNECTIONS: usize = 16;
/// Bytes of one question to an agent.
pub const AGENT_MESSAGE_BYTES: u32 = 64 * 1024;

// --- connections to upstream servers ---

/// Bytes of one answer of an authorization server, or of an upstream's metadata.
pub const CONNECTION_ANSWER_BYTES: usize = 256 * KIB;
/// Time for one request to an authorization server, from the look-up of its name to the last byte.
pub const CONNECTION_TIMEOUT: Duration = Duration::from_secs(10);
/// The turn of whoever renews a connection, from the claim on. Past it the refresh token counts as spent.
pub const REFRESH_TURN: Duration = Duration::from_secs(30);
/// How long before the end of its access token a connection is renewed.
pub const REFRESH_AHEAD: Duration = Duration::from_secs(30);
/// How long a connection that is over is kept: far longer than anybody's turn.
pub const DISCONNECTED_KEPT: Duration = Duration::from_secs(3600);
/// Interval at which those who wait for a renewal of another process look at the store.
pub const REFRESH_LOOK: Duration = Duration::from_millis(100);
/// Pause after a renewal that the authorization server could not be asked for, before it is asked again.
pub const REFRESH_PAUSE: Duration = Duration::from_secs(5);
/// How long the authorization server is asked again and again to revoke the tokens of a connection that was ended, while it
/// does not answer.
pub const ENDING_TRIED: Duration = Duration::from_secs(24 * 3600);
/// How long a connection that is over is kept whose tokens were not seen dead.
pub const UNDEAD_KEPT: Duration = Duration::from_secs(90 * 24 * 3600);
/// How long the answer to a consent is kept that nobody has redeemed to its end.
pub const ANSWER_KEPT: Duration = Duration::from_secs(3600);
/// Life of a statement with which Portunus proves to an authorization server which client it is.
pub const CLIENT_PROOF_TTL: Duration = Duration::from_secs(60);
/// Connections, or credentials, that are ended at once.
pub const ENDINGS_AT_ONCE: usize = 8;
/// Attempts to store tokens that were just received, when the connection changes meanwhile or the store is busy.
pub const REFRESH_COMMITS: usize = 16;
/// Time to say yes at an authorization server.
pub const CONSENT_TTL: Duration = Duration::from_secs(15 * 60);
/// Interval at which a call that came back from the page looks whether its user has connected the server.
pub const CONNECT_LOOK: Duration = Duration::from_millis(250);
/// Consents that one user may have under way.
pub const CONSENTS_PER_USER: usize = 8;
/// Connections in the warm cache.
pub const CACHED_CONNECTIONS: usize = 10_000;
/// Longest time a warm connection is trusted without looking at the store again.
pub const CONNECTION_TTL: Duration = Duration::from_secs(5);
/// Bytes of one token of an authorization server.
pub const FOREIGN_ACCESS_BYTES: usize = 16 * KIB;
/// Time for which a dynamic registration without an end of its own is used for new consents.
pub const REGISTRATION_KEPT: Duration = Duration::from_secs(90 * 24 * 3600);
/// Characters of what an authorization server says about an error.
pub const FOREIGN_WORDS: usize = 200;

/// Bounds an operator may set for one server (`limits:` in `portunus.yaml`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServerLimits {
    /// Bytes of one request body.
    pub request_bytes: usize,
    /// Bytes of one response, whole streams included.
    pub response_bytes: u64,
    /// Time from sending a call to the first byte of its answer, and between two pieces of it.
    pub timeout: Duration,
    /// Calls in flight at once.
    pub concurrent_calls: usize,
}

impl Default for ServerLimits {
    fn default() -> Self {
        Self {
            request_bytes: MIB,
            response_bytes: 8 * MIB as u64,
            timeout: Duration::from_secs(60),
            concurrent_calls: 1024,
        }
    }
}
