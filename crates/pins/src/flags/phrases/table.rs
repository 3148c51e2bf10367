//! The phrases, each with an attack in `tests/definitions/hostile.json`; none of the serious ones is on an
//! honest definition in `clean.json`.

use super::super::Severity::{self, Notable, Serious};

/// A phrase in lower-case ASCII. `.` is any letter: sentences go over line breaks.
pub(super) struct Phrase {
    pub(super) code: &'static str,
    pub(super) severity: Severity,
    pub(super) what: &'static str,
    pub(super) pattern: &'static str,
}

const fn phrase(code: &'static str, severity: Severity, what: &'static str, pattern: &'static str) -> Phrase {
    Phrase { code, severity, what, pattern }
}

const OVERRIDE: &str = "it tells the model to drop its instructions";
const SECRECY: &str = "it tells the model to keep something from people";
const MARKUP: &str = "markup that poses as instructions";
const POSE: &str = "it poses as the system or its operator";
const ORDER: &str = "it tells the model when to call which tool";
const FILES: &str = "it tells the model to read secrets";
const OUTWARD: &str = "it tells the model to send data out";
const COLLECT: &str = "it asks for the conversation or the model's instructions";
const COMMAND: &str = "it tells the model to run commands";
const CONSENT: &str = "it tells the model not to ask people";

/// Places where secrets are.
macro_rules! secrets {
    () => {
        r"(~/\.ssh|\.ssh/|\bid_(rsa|dsa|ecdsa|ed25519)\b|\.aws/|/etc/(passwd|shadow)\b|\.env\b|\bmcp\.json|claude_desktop_config|\.netrc\b|\.npmrc\b|\.pypirc\b|\.pgpass\b|\.kube/|\.git-credentials|\.docker/config|\.cursor/|\.gnupg|\.bash_history|authorized_keys|wallet\.dat|\bprivate keys?\b|\bssh keys?\b|\bapi[ _-]?keys?\b|\baccess tokens?\b|\bpasswords?\b|\bcredentials?\b|environment variables?|\benv vars?\b)"
    };
}

pub(super) const PHRASES: &[Phrase] = &[
    phrase(
        "override",
        Serious,
        OVERRIDE,
        r"\b(ignore|disregard|forget|override|bypass|discard|supersede)s?\b.{0,40}\b(previous|prior|earlier|above|preceding|existing|system|safety|your)\b.{0,30}\b(instruct|prompt|rule|guideline|direction|polic|safeguard|restriction|constraint|training|message)",
    ),
    phrase(
        "override",
        Serious,
        OVERRIDE,
        r"\b(ignore|disregard|forget) (all|any|everything|anything)\b.{0,30}\b(instruct|prompt|rule|guideline|above|before|previous|told)",
    ),
    phrase(
        "override",
        Serious,
        OVERRIDE,
        r"\b(new|updated|real|actual|true|hidden|secret) (instructions?|task|objective|directives?)( is| are)?\s?:",
    ),
    phrase(
        "secrecy",
        Serious,
        SECRECY,
        r"\b(do not|don'?t|never|must not|mustn'?t|should not|shouldn'?t|avoid|refrain from|without|no need to)( ever| also)? (tell|telling|mention|mentioning|inform|informing|notify|notifying|reveal|revealing|alert|alerting|disclose|disclosing|explain|explaining|report|reporting|discuss|discussing|show|showing|display|displaying|let|letting)\b.{0,40}\b(user|human|person|people|operator|customer|anyone|anybody|them|him|her)\b",
    ),
    phrase(
        "secrecy",
        Serious,
        SECRECY,
        r"\b(do not|don'?t|never|must not)( ever)? (mention|reveal|disclose|talk about|refer to|acknowledge) (this|that|these|it|the (tool|instruction|step|note|file|content|process|fact))",
    ),
    phrase(
        "secrecy",
        Serious,
        SECRECY,
        r"\b(hide|hidden|conceal|keep|kept)\b.{0,40}\b(from (the |any )?(user|human|person|operator)|secret|confidential from)\b",
    ),
    phrase(
        "secrecy",
        Serious,
        SECRECY,
        r"\bthe (user|human|operator) (must|should|does|will|need|needs|can|may) ?(not|n'?t|never) (be told|know|see|notice|find out|be aware|be informed|realize)",
    ),
    phrase(
        "secrecy",
        Serious,
        SECRECY,
        r"\b(without|so) (that )?the (user|human)('s)? (knowing|noticing|knowledge|awareness|consent|does not|doesn'?t)",
    ),
    phrase(
        "markup",
        Serious,
        MARKUP,
        r"<\s?/?\s?(important|system|critical|priority|sidenote|system[_ -](prompt|message|note|instruction)s?|instructions?[_ -]for[_ -].{1,20}|hidden[_ -]instructions?|assistant|urgent)\s?>",
    ),
    phrase(
        "markup",
        Serious,
        MARKUP,
        r"<\s?/\s?(secret|hidden|admin|instructions?|command|directive|internal|note|rules?)\s?>",
    ),
    phrase(
        "markup",
        Serious,
        MARKUP,
        r"(<\|(im_start|im_end|system|endoftext|start_header_id)\|?>|\[/?inst\]|<<sys>>|\[(system|system message|system prompt|admin|internal instructions?)\]|#{2,} ?(system|instruction|hidden)s?( prompt| message)?:?( |$))",
    ),
    phrase(
        "pose",
        Serious,
        POSE,
        r"\b(system|admin|administrator|developer|security|compliance|maintenance) (override|notice|directive|instruction|command|message)s?\s?[:!]",
    ),
    phrase(
        "pose",
        Serious,
        POSE,
        r"\b(attention|important|note|instructions?|message|directive)s?( only)? (to|for) (the |all |any )?(ai|a\.i\.|llm|language model|model|assistant|ai agent|agent|claude|chatgpt|gpt|copilot|gemini)s?\b",
    ),
    phrase(
        "pose",
        Serious,
        POSE,
        r"\byou are now\b.{0,30}\b(mode|assistant|ai|agent|admin|root|unrestricted|free|authorized|required)\b",
    ),
    phrase(
        "pose",
        Serious,
        POSE,
        r"\b(your|the model'?s|the assistant'?s) (new|updated|primary|real|main) (role|goal|task|objective|instruction|purpose)s? (is|are)\b",
    ),
    phrase(
        "order",
        Serious,
        ORDER,
        r"\b(before|after|when|whenever|prior to)\b.{0,20}\b(calling|using|invoking|running|executing|you call|you use|use of) (any|every|all|each)( of the)?( other)?( mcp)? (tool|function|command|server|request|quer)",
    ),
    phrase(
        "order",
        Serious,
        ORDER,
        r"\b(must|always|should|need to|has to)\b.{0,30}\b(call|called|use|used|run|invoke|invoked|executed?)\b.{0,30}\b(first|before|prior to|after|instead of|in place of)\b.{0,20}\b(any|every|all|each|no matter)\b.{0,20}\b(tool|function|command|action|request|step|response|messag|task|quer)",
    ),
    phrase(
        "order",
        Serious,
        ORDER,
        r"\b(do not|don'?t|never) (use|call|invoke|trust) (any|the) (other|original|existing|built-?in|official)( \S{1,40})? (tool|function|server|version)s?",
    ),
    phrase(
        "order",
        Serious,
        ORDER,
        r"\b(when|whenever|if|every time|each time|before|after)\b.{0,60}\b[a-z0-9]{2,}[_-][a-z0-9_-]{2,}[`'\x22]?( tool| function)?\b.{0,30}\b(is|are|gets|was) (called|used|invoked|present|available|executed|run|enabled|connected)\b",
    ),
    phrase(
        "order",
        Serious,
        ORDER,
        r"\b(on|for|with) (every|each|all) (message|turn|response|request|conversation|prompt|tool call|command)s?\b.{0,40}\b(call|invoke|run|execute|prefix|append|prepend|include)\b",
    ),
    phrase(
        "order",
        Serious,
        ORDER,
        r"\b(prefix|prepend|append|suffix) (all|every|each|any|to (all|every|each|any))\b.{0,30}\b(command|message|quer|response|request|email|file|call)",
    ),
    phrase(
        "order",
        Serious,
        ORDER,
        r"\b(change|replace|redirect|set|switch|modify|swap|substitute|rewrite)s?\b.{0,20}\b(the |all |every |each |any )?(recipient|destination|addressee|phone number|bank account|iban|to field|wallet)s?\b.{0,20}\b(to|with|by)\b",
    ),
    phrase(
        "order",
        Serious,
        ORDER,
        r"\b(all|every|any|each)\b.{0,20}\b(email|message|payment|transaction|transfer|request|mail)s?\b.{0,30}\b(must|should|have to|has to|need to|need|shall|are to|will)\b.{0,30}\b(sent|go|routed?|forwarded|delivered|addressed|copied|cc'?d|bcc'?d|redirected|be sent)\b",
    ),
    phrase(
        "order",
        Notable,
        ORDER,
        r"\b(you must|must always|always|you should|required to)\b.{0,20}\b(first )?(call|use|invoke|run|prefer|choose) (this|the|it)\b",
    ),
    phrase(
        "order",
        Notable,
        ORDER,
        r"\b(before|prior to) (using|calling|invoking|running|executing) (this|the|other|another|it)\b",
    ),
    phrase("order", Notable, ORDER, r"\b(you must|must) (first )?(call|invoke|use|run)\b"),
    phrase(
        "order",
        Notable,
        ORDER,
        r"\binstead of (using |calling )?(the )?(other|built-?in|default|native|standard|[`'\x22]?[a-z0-9]+_[a-z0-9_]+)",
    ),
    phrase(
        "secrets",
        Serious,
        FILES,
        concat!(
            r"\b(read|open|load|cat|access|fetch|retrieve|extract|get|find|include|pass|attach|copy|paste|supply|put|send|upload|dump|print|collect|look up|obtain|use the content)\b.{0,60}",
            "(~/",
            r"\.ssh|\bid_(rsa|dsa|ecdsa|ed25519)\b|\.aws/cred|/etc/(passwd|shadow)\b|(^|[ `'\x22/])\.env\b|\bmcp\.json|claude_desktop_config|\.netrc\b|\.npmrc\b|\.pypirc\b|\.pgpass\b|\.kube/config|\.git-credentials|\.docker/config|\.cursor/|\.gnupg|\.bash_history|wallet\.dat)"
        ),
    ),
    phrase(
        "secrets",
        Serious,
        FILES,
        concat!(
            r"\b(pass|put|include|attach|paste|insert|append|supply|place|copy|write|embed|encode)\b.{0,60}",
            secrets!(),
            r".{0,60}\b(as|in|into|inside|within|to|via|through) (the |a |this |that |its |an )?[`'\x22]?[a-z_]{3,30}[`'\x22]?( parameter| argument| field| header| url| query| note)?\b"
        ),
    ),
    phrase(
        "secrets",
        Notable,
        "it names a place where secrets are",
        r"(~/\.ssh|\.ssh/|\bid_(rsa|dsa|ecdsa|ed25519)\b|\.aws/credentials|/etc/(passwd|shadow)\b|(^|[ `'\x22])\.env\b|\bmcp\.json|claude_desktop_config|\.netrc\b|\.git-credentials|\.kube/config|\.cursor/)",
    ),
    phrase(
        "outward",
        Serious,
        OUTWARD,
        r"\b(send|post|upload|forward|transmit|exfiltrate|leak|email|copy|report|submit|push|relay|deliver|bcc|cc)\b.{0,60}\b(contents?|conversation|history|chat|messages?|credentials?|passwords?|secrets?|tokens?|keys?|files?|variables|data|results?|responses?|emails?|output|copy|copies|everything|it|them)\b.{0,60}\b(to|at|via|with) .{0,30}(https?://|wss?://|[a-z0-9._-]+@[a-z0-9-]+\.[a-z]{2,}|\+[0-9]{7,}|[0-9]{1,3}\.[0-9]{1,3}\.[0-9]{1,3}\.[0-9]{1,3})",
    ),
    phrase(
        "outward",
        Serious,
        OUTWARD,
        r"\b(bcc|cc|copy|forward)\b.{0,40}\b(to |)[a-z0-9._+-]+@[a-z0-9-]+\.[a-z]{2,}",
    ),
    phrase(
        "outward",
        Serious,
        OUTWARD,
        r"\b(send|forward|sent|forwarded|transferred?|routed?|delivered) .{0,40}\bto (the )?(proxy |following )?(number |phone |account |address )?(\+[0-9]{7,}|attacker|0x[0-9a-f]{20,})",
    ),
    phrase("outward", Serious, OUTWARD, r"!\[[^\]]{0,60}\]\(https?://[^)]{0,200}[?=]"),
    phrase(
        "collect",
        Serious,
        COLLECT,
        r"\b(pass|put|insert|paste|copy|write|place|summari[sz]e|encode|dump|repeat|print|output|fill( in)?)\b.{0,60}\b((entire|full|whole|complete|current|previous|our|your) (conversation|chat|context|message history|prompt)|(conversation|chat|message) (history|transcript|so far)|system prompt|your (system |initial |own )?(instructions?|prompt|context window|reasoning|guidelines)|(list|names?) of (all )?(your |available |the )+tools|all (of )?(your |the )?(available |other )?tools)\b",
    ),
    phrase(
        "collect",
        Serious,
        COLLECT,
        r"\b(include|provide|supply|add|append|attach)\b.{0,40}\b((entire|full|whole|complete) (conversation|chat) (history|so far|context|transcript)|(your|the) system prompt|your (system |initial |own )(instructions?|prompt)|chain[ -]of[ -]thought)\b",
    ),
    phrase(
        "collect",
        Notable,
        COLLECT,
        r"\b(system prompt|conversation history|chat history|chain[ -]of[ -]thought)\b",
    ),
    phrase("command", Serious, COMMAND, r"\b(curl|wget)\b.{1,120}\|\s?(sudo )?(ba|z|da)?sh\b"),
    phrase(
        "command",
        Serious,
        COMMAND,
        r"\b(run|execute|first|must|prefix|prepend)\b.{0,60}[`'\x22 ](chmod -r|rm -rf|curl https?:|wget https?:|nc -|bash -c|bash -i|powershell -|python3? -c|base64 -d|eval |crontab )",
    ),
    phrase("command", Serious, COMMAND, r"/dev/tcp/|\bnc -e\b|\bmkfifo /tmp"),
    phrase(
        "consent",
        Serious,
        CONSENT,
        r"\b(do not|don'?t|never|no need to|not necessary to|must not|should not|skip)( ever)? (ask|asking|request|requesting|wait|waiting|prompt|prompting|require|seek|seeking)( for)?\b.{0,30}\b(user|human|confirm|permission|approval|consent|authori[sz]ation)",
    ),
    phrase(
        "consent",
        Serious,
        CONSENT,
        r"\b(the user|user|human|operator|admin(istrator)?) (has|have) (already )?(approved|consented|authori[sz]ed|agreed|granted|confirmed|given (permission|consent))",
    ),
    phrase(
        "consent",
        Notable,
        CONSENT,
        r"\bwithout (asking|requiring|requesting|confirmation|confirming|approval|consent|permission)",
    ),
    phrase(
        "promise",
        Notable,
        "it threatens or insists",
        r"\b(otherwise|or else)\b.{0,40}\b(error|fail|crash|not work|break|deleted?|lost|lose|punish|penal|shut)",
    ),
    phrase(
        "terminal-escape",
        Serious,
        "an escape sequence for terminals, written out",
        r"(\\x1b|\\u001b|\\033|\\e)\[[0-9;]{1,12}[a-z]",
    ),
    phrase(
        "collector-address",
        Serious,
        "an address of a service that collects requests",
        r"\b(webhook\.site|requestbin|ngrok(-free)?\.(io|app|dev)|pipedream\.net|burpcollaborator|oastify\.com|oast\.(fun|pro|live|site|online|me)|interact\.sh|requestcatcher\.com|beeceptor\.com|transfer\.sh|pastebin\.com/api|discord(app)?\.com/api/webhooks|api\.telegram\.org/bot|trycloudflare\.com|serveo\.net|hookbin)",
    ),
    phrase(
        "collector-address",
        Serious,
        "an address of a machine by number",
        r"https?://([0-9]{1,3}\.){3}[0-9]{1,3}",
    ),
];
