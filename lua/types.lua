---@meta
-- types.lua - every type that crosses a room, and every primitive of core.*: for editors and for
-- the reference manual.  A spec compares it with what is registered.
--
-- Conventions.  Seconds are numbers; `now` is the wall clock (Unix time), `clock` the monotonic one.
-- Ids of members and clusters are decimal strings of an unsigned 64-bit number.  A caller's bug
-- raises; the world failing returns nil, message, code.

---@alias Code "timeout"|"refused"|"unreachable"|"dns"|"tls"|"auth"|"denied"|"missing"|"conflict"|"throttled"|"http"|"parse"|"io"|"quorum"|"gate"|"spawn"|"cancelled"|"usage"
---@alias Id string decimal, unsigned 64 bits

---@class Instance             a machine, as the provider tells of it
---@field id string
---@field name string
---@field addresses table<string, string>  private_v4 private_v6 public_v4 public_v6 hostname
---@field zone string
---@field region string
---@field launched number      Unix time, 0 unknown
---@field since number         Unix time since when it is in its state, 0 unknown
---@field tags table<string, string>
---@field state "booting"|"live"|"leaving"|"dead"|"unknown"
---@field why string?          what makes it so, for messages: "has no tag role"
---@field etcd_name string?    derived by facts.lua: the member name that this machine would use
---@field peer_url string?     derived by facts.lua, canonical; nil without an address
---@field client_url string?   derived by facts.lua
---@field member Id?           derived by facts.lua: the member of U that runs there

---@class Inventory
---@field self string?         instance id
---@field instances Instance[] sorted by id
---@field desired integer?
---@field complete boolean
---@field why string?          what shows that it is not complete
---@field gone "dead"|"unknown"  what absence from a complete, settled list means
---@field lag number           seconds that the list may trail the truth
---@field source string
---@field read number          clock when this list was read; set by facts.lua
---@field same_since number    clock of the first of the unbroken run of equal reads; settled when read - same_since >= lag
---@field forgotten string[]?  names of ask.missing whose machines were asked for by id in this read, and which the provider does not know any more

---@class Ask                 what a provider is told
---@field missing Member[]    members of U, else founders of this disk's founding, for whose name or address no booting or live machine was listed
---@field deadline number     clock at which the run ends

---@class Member
---@field id Id
---@field name string          "" before its first start
---@field peer_urls string[]   canonical
---@field client_urls string[]
---@field learner boolean
---@field started boolean      it has published client URLs
---@field instance string?     derived by facts.lua: instance id

---@class Answer               of the roll call, as the other machine said it
---@field name string
---@field data "empty"
---@field cluster_id Id?       nil where the wire has null
---@field claim Id?
---@field ready boolean
---@field counts string[]

---@class Probe                what one address answered; made by core.etcd alone
---@field key string           the target's key; a learnt target's is its peer URL
---@field name string?         the name that the list gives for this address
---@field peer_url string
---@field client_url string?
---@field verdict "quorum"|"learner"|"no-quorum"|"founding"|"waiting"|"refused"|"unknown"
---@field why string           reason, a sentence part; "" where the verdict says all
---@field code Code?           of an "unknown": what kind of failure, the gravest of both ports (tls, auth, http, parse before timeout)
---@field login boolean?      etcd is up and wants a login, or a newer one
---@field cluster_id Id?       of an etcd that answered
---@field member_id Id?        which member answered, where it said so or its peer URL tells
---@field members Member[]?    the list that this node gave
---@field leader Id?
---@field version string?      etcd's own, "3.4.23"
---@field cluster_version string?  "3.4.0"; nil undecided or not asked
---@field api string?          "/v3" "/v3beta" "/v3alpha" "/v2": where it takes changes
---@field applied integer?     raft's applied index
---@field answer Answer?       with verdict "waiting"
---@field sent number          clock of the first question
---@field at number            clock of the last answer
---@field learnt boolean?      true when the address came out of another's answer

---@class Claim                what this disk has been promised to become
---@field kind "founding"|"join"
---@field cluster_id Id
---@field member_id Id
---@field token string?        founding
---@field list Founder[]?      founding

---@class Founder              one line of an initial cluster, list sorted bytewise by name
---@field id Id?               of founders that a log names
---@field name string
---@field peer_urls string[]   canonical

---@class DataDir
---@field state "empty"|"member"|"damaged"|"unknown"|"hidden"
---@field why string           for damaged and unknown
---@field path string?
---@field cluster_id Id?
---@field member_id Id?
---@field unused boolean       the log holds nothing but the bootstrap entries of its founding list
---@field founders Founder[]?  those that the log's first entries name; of an unused log all of them
---@field locked boolean       a running etcd holds the lock of the database
---@field claim Claim?         only where there is no log
---@field read number          clock when it was read

---@class Me
---@field id string?           instance id
---@field name string?         member name
---@field address string?
---@field peer_urls string[]   canonical
---@field client_urls string[]
---@field token string         as configured
---@field etcd_version string? what the binary says
---@field running Running?     an etcd on my own ports, or holding the lock of my data
---@class Running
---@field cluster_id Id?       nil: it does not answer yet
---@field member_id Id?

---@class Cluster
---@field id Id
---@field members Member[]     of the witness that has applied most
---@field lists Member[][]     of every witness with verdict quorum, that one included
---@field leader Id?
---@field quorum boolean       some member gave verdict quorum
---@field strong boolean       a majority of the voters, me not among them, gave it themselves
---@field version string?      cluster version
---@field witnesses string[]   keys of the probes that told of it
---@field endpoints string[]   client URLs of those with verdict quorum, learners left out; the leader's first
---@field api string?

---@class Founding             L and what etcd will compute from it
---@field list Founder[]       all booting or live instances, me included
---@field token string
---@field cluster_id Id
---@field member_id Id         mine

---@class Heard                what one other machine said in this run
---@field empty Answer?        the first answer for this L that allows a claim: empty, same cluster_id, counts without me
---@field last Answer?         the last answer for this L; nil after L changed
---@field proof Answer?        the last answer to a question sent after my withdrawal: empty, counts without me
---@field proof_sent number?   clock when that question was sent
---@class RollCall             what the roll call knows; all of it from this run
---@field cluster_id Id?       the L that `empty` and `last` are about
---@field heard table<string, Heard>  by member name
---@field withdrawn number?    clock since when this machine answers ready:false, its claim being for another list

---@class Facts
---@field now integer        Unix time, whole seconds, as os.date wants it
---@field clock number         set again right before the gate
---@field me Me
---@field inventory Inventory?
---@field inventory_why string?
---@field probes table<string, Probe>  by instance id, else by peer URL
---@field clusters Cluster[]   every cluster id seen, those with quorum first
---@field cluster Cluster?     U: the one with quorum; nil where none or two
---@field data_dir DataDir
---@field founding Founding?   nil while the list is unknown
---@field found "rollcall"|"refused"
---@field refused_since number?  clock since when all others refuse on a settled list (found = "refused")
---@field roll_call RollCall
---@field marker Marker?       only with data empty or hidden; nil: there is none, or it is unknown
---@field marker_tag string?   of the version that was read, for a conditional write
---@field marker_configured boolean  the policy has a marker
---@field marker_unknown string?  why it could not be read: it is not known then whether there is one
---@field desired integer?     the policy's size, else the inventory's
---@field promoter boolean     somebody is announced who promotes learners
---@field journal Journal
---@field history Step[]       of this run, oldest first
---@field turn integer         of this run, from 1
---@field quick boolean?       no more was asked than a restart needs; all is asked before a plan other than `start` counts
---@field changed boolean      a membership change was made this turn
---@field paused boolean       a file `pause` in state_dir
---@class Marker               of the cluster once founded here, kept outside the machines
---@field cluster_id Id
---@field token string
---@field list Founder[]
---@field founder string       name of the machine that reserved it
---@field time integer         Unix time of that
---@field confirmed boolean    the cluster had quorum
---@class MarkerStore          the policy's `marker`: where it is kept.  Both functions may wait, until ask.deadline by task.now().
---@field read fun(ask: {deadline: number}): Marker|false|nil, string?, Code?  marker, tag | false: there certainly is none | nil, message, code: unknown
---@field write fun(marker: Marker, tag: string?, ask: {deadline: number}): string|nil, string?, Code?  tag of what was written | nil, message, code; "conflict" when there is a marker (tag nil), or the newest is not that of the tag
---@class Journal              this machine's memory over runs; a help, never a proof
---@field dead_since table<Id, {at: number, word: boolean}>  since when a member's machine is seen dead; by the provider's own word or by absence
---@field pending_since table<Id, number>  since when a learner that never started is seen
---@field asked_remove {cluster_id: Id, member_id: Id}[]
---@field clusters Id[]        clusters that this machine has been started for
---@field asides {path: string, why: string, at: number}[]
---@class Step
---@field action string
---@field member Id?
---@field ok boolean
---@field rule string?         refused by the gate
---@field message string?
---@field clock number
---@field turn integer

---@class Plan
---@field action "claim"|"new"|"add"|"remove"|"promote"|"update"|"aside"|"start"|"standby"|"wait"|"fail"|"leave"  leave: of the verb alone, no policy's
---@field reason string        one sentence for a person
---@field member Id?           of remove, promote, update, leave
---@field own boolean?         remove, leave: my own slot
---@field learner boolean?     add
---@field members Founder[]?   claim, new
---@field reserves boolean?    of `new` and `claim`, set by boot.lua alone: the marker is reserved first
---@field exec string[]?       standby: what run becomes once the outputs are written; without it run ends with 0
---@field exit integer?        fail: 5 for two clusters, default 4; wait: the status at the deadline, default 3
---@field row integer?         of steady's plans: the row of the decision table
---@field waiting_for {instance: string, why: string}[]?  wait
---@class Allowed              what permit:take returns
---@field action string
---@field cluster_id Id?
---@field member_id Id?        remove, promote, update, leave: whose; claim, new, start: mine where known
---@field learner boolean
---@field peer_urls string[]   add, update: mine
---@field members Founder[]?   claim, new, reserve: the founding list
---@field token string?        claim, new, reserve
---@class Permit               userdata
local Permit = {}
--- What was allowed, once; a second call, or another action, raises.
---@param action string
---@return Allowed
function Permit:take(action) end

---@class Survivor             of a cluster without quorum
---@field name string
---@field client_url string?
---@field member_id Id?
---@field mine boolean         this machine
---@field revision integer?    what its etcd says on its client port, as the next two; nil: it is silent there
---@field applied integer?
---@field term integer?
---@field why string?          why it is silent
---@field log {term: integer, index: integer, committed: integer?}?  of this machine alone

---@class Restoration          the commands that make a lost cluster anew
---@field token string
---@field file string          of the snapshot
---@field cluster_id Id        of the new cluster
---@field snapshot string[]
---@field machines {name: string, commands: string[]}[]

---@class Config               what templates and exec receive
---@field role "member"|"standby"
---@field state "new"|"existing"|nil
---@field name string?
---@field pairs {[1]: string, [2]: string}[]  ETCD_* in the order of the contract; none of a standby
---@field env table<string, string>  the same by name; of a standby what a proxy is told: ETCD_PROXY and the initial cluster, from etcd 3.6 on ETCD_GATEWAY_ENDPOINTS
---@field initial_cluster Founder[]
---@field endpoints string[]   client URLs of the members
---@field cluster_id Id?
---@field member_id Id?
---@field version string?

---@class Want                 what a registrar is to make known
---@field cluster_id Id        of the cluster with quorum
---@field name string          etcd.token, as configured: what people call this cluster
---@field members Voter[]      those that said in this look that they work, by name; never empty
---@field silent Voter[]       those that did not
---@field instances Instance[] all that the provider lists; empty where it is silent
---@field client_port integer
---@field peer_port integer
---@field client_scheme string
---@field peer_scheme string
---@field dry boolean          compare only, change nothing
---@field deadline number      clock; nobody waits longer
---@class Voter
---@field id Id
---@field name string
---@field instance string?     instance id, where the provider lists it
---@field address string?      IP address at which clients reach it
---@field addresses table<string, string>  the instance's
---@field zone string
---@field state string         the instance's
---@field client_urls string[]
---@field peer_urls string[]
---@class Registration         what a registrar found and, unless want.dry, has made of it
---@field what string          "route53 etcd.prod.example.com"
---@field values string[]      registered now
---@field wanted string[]      what should be
---@field changed boolean      it was changed; with want.dry, it would have been
---@alias Registrar fun(want: Want): Registration|nil, string?, Code?  may wait
---@class Registered           what came of one registrar
---@field what string          its own word, else "register[1]"
---@field ok boolean
---@field why string           "" when ok
---@field code Code?
---@field changed boolean
---@field values string[]
---@field wanted string[]

---@class Event                what the policy's `on` is told
---@field kind "plan"|"change"|"refusal"|"output"
---@field action string
---@field reason string
---@field member Id?
---@field rule string?         of a refusal
---@field message string?
---@field register (fun(): true|nil, string?)?  of "output"; (waits) registers at once those who are healthy now

-- What a policy file means after policy.lua has checked it and filled in defaults.
---@class Policy
---@field path string
---@field discover fun(ask: Ask): Inventory?, string?, Code?
---@field decide fun(facts: Facts): Plan
---@field size integer?
---@field found "rollcall"|"refused"
---@field marker MarkerStore?
---@field timeout number
---@field interval number
---@field state_dir string
---@field output {path: string, template: string|function, mode: string?, owner: string?, reload: string[]?}[] sorted by path
---@field exec string[]|function|nil
---@field on fun(event: Event)?
---@field register Registrar[]?
---@field etcd PolicyEtcd
---@class PolicyEtcd
---@field version string?
---@field data_dir string|false
---@field name string|function|nil
---@field token string|function
---@field scheme string
---@field peer_scheme string
---@field client_port integer
---@field peer_port integer
---@field address string|function
---@field listen any
---@field tls PolicyTls
---@field user string?
---@field password_file string?
---@field connect_timeout number
---@field probe_timeout number
---@field extra table<string, string>
---@class PolicyTls
---@field ca string?
---@field cert string?
---@field key string?
---@field client_auth boolean?
---@field peer_ca string?
---@field peer_cert string?
---@field peer_key string?
---@field peer_client_auth boolean?
---@field probe_cert string?
---@field probe_key string?
---@field auto boolean?
---@field peer_auto boolean?
---@field verify boolean

---@class Keys                 credentials of AWS
---@field access_key string
---@field secret_key string
---@field token string?
---@field expires integer?     Unix time
---@field source string        for messages: "the environment"
---@field stable boolean?      they may be used beyond their end where no others come
---@class AwsRequest           see lua/aws/request.lua
---@field service "ec2"|"autoscaling"|"elasticloadbalancing"|"sts"|"route53"|"s3"
---@field region string?
---@field action string?       "DescribeInstances"
---@field params table?        of a query service
---@field method string?       of REST, as all that follow
---@field path string?         encoded
---@field query table<string, string|number|boolean>?
---@field headers table<string, string>?
---@field body string?
---@field bucket string?
---@field shape table?         of the answer, for xml.decode
---@field deadline number?     clock
---@field expect integer[]?    statuses that are answers

-- The primitives -------------------------------------------------------------------------------

---@class core.task
local task = {}
---@return Task
function task.spawn(f, ...) end
--- (waits)
---@param seconds number
---@return true
function task.sleep(seconds) end
---@return number clock  seconds, monotonic
function task.now() end
---@return number now  Unix time with fractions
function task.time() end
---@return Event
function task.event() end
--- (waits) for the next HUP, INT or TERM.
---@return integer number, string name  15, "TERM"
function task.signal() end
--- Calls f(...) like pcall, and stops it after `seconds` of CPU time spent without waiting; may wait.
---@return boolean ok, any ...  results, or the message
function task.guard(seconds, f, ...) end
---@return {tasks: integer, timers: integer, watches: integer, children: integer, transfers: integer} alive
function task.pending() end
---@class Task
local Task = {}
--- (waits)
---@return any ...  results of f | nil, message, code
function Task:join() end
--- Stops it where it waits and closes its <close> variables; joiners get nil, "cancelled", "cancelled".
function Task:cancel() end
---@class Event
local Event = {}
--- (waits)
function Event:wait() end
function Event:set() end

---@class core.http
local http = {}
--- (waits) One transfer; 4xx and 5xx are responses.  Redirects are off, protocols http and https.
---@param o {url: string, method: string?, headers: table<string,string|string[]>?, body: string?, sign: Signer?, timeout: number?, connect_timeout: number?, limit: integer?, tls: Tls?, proxy: boolean?}
---@return {status: integer, headers: table<string,string>, body: string}|nil, string?, Code?
function http.request(o) end
---@class Tls
---@field ca string?    file; default the system's hashed directory
---@field cert string?  file
---@field key string?   file
---@field verify boolean?  default true

---@class Signer
---@field service string
---@field region string
---@field access_key string
---@field secret_key string
---@field token string?       of temporary keys
---@field time number?        Unix time; default now
---@field normalize boolean?  whether the service takes dots out of the path, and decodes it twice; default all but s3
---@field sign_body boolean?  whether the digest of the body is a header too; default s3 alone

---@class core.sigv4
local sigv4 = {}
--- The headers that sign a request: AWS Signature Version 4.  o is a Signer, its time given, with the request in it.
---@param o {method: string?, url: string, headers: table<string,string|string[]>?, body: string?}
---@return table<string, string>
function sigv4.sign(o) end
--- What is signed, for specs.
---@return string request, string to_sign
function sigv4.canonical(o) end

---@class core.serve
local serve = {}
--- Answers fixed bodies on fixed paths of one address until closed; everything else is 404.  tls.auto: with a certificate made for this server, by nobody.
---@param o {address: string, port: integer, bodies: table<string,string>, tls: {cert: string, key: string, ca: string?}|{auto: true}?}
---@return Server|nil, string?, Code?
function serve.listen(o) end
---@class Server
local Server = {}
---@param path string
---@param body string|nil  nil: 404 again
function Server:set(path, body) end
--- Closes the port and every connection; closing twice does nothing.
function Server:close() end

---@class core.etcd
local etcd = {}
---@class Target
---@field key string
---@field name string?       whom the roll call must name here
---@field peer_url string
---@field client_url string?
--- (waits) Asks every target on both ports, and the members learnt on the way, all at once.
---@param o {targets: Target[], tls: Tls?, peer_tls: Tls?, authorization: string?, connect_timeout: number?, timeout: number?, learn: boolean?}
---@return Probe[]  in the order of the targets, learnt ones after them
function etcd.probe(o) end
--- (waits) One GET /members on each peer port and one GET /health on each client port, all at once, nothing else.
---@param o {targets: Target[], peer_tls: Tls?, connect_timeout: number?, timeout: number?}
---@return {key: string, peer_url: string, cluster_id: Id?, members: Member[]?, healthy: boolean, code: Code?, why: string?}[]
function etcd.lists(o) end
--- (waits) One GET /bootstrap on each peer port: the roll call's question.
---@param o {targets: Target[], peer_tls: Tls?, connect_timeout: number?, timeout: number?}
---@return {key: string, name: string?, answer: Answer?, code: Code?, why: string?, sent: number, at: number}[]
function etcd.ask(o) end
--- The ids that etcd computes for a founding list and a token (etcd 2.0 to 3.7: server/etcdserver/api/membership).
---@param list Founder[]
---@param token string
---@return Id cluster_id, Id[] member_ids  in the order of the list
function etcd.identify(list, token) end
--- The id of the cluster that the members with these ids, in any order, founded.
---@param member_ids Id[]
---@return Id cluster_id
function etcd.founded(member_ids) end
---@param id Id
---@return string hex  as etcd prints it, no padding
function etcd.hex(id) end
---@param hex string
---@return Id|nil, string?, Code?
function etcd.decimal(hex) end

---@class core.gate
local gate = {}
--- The action "reserve", which boot.lua alone asks for, passes what `new` passes, but for its marker.
--- Facts and plan pass every rule, or the first that refuses is named.  overrides[rule] = true skips a rule that may be skipped.
---@param facts Facts
---@param plan Plan
---@param overrides table<string, boolean>?
---@return Permit|nil, string?, string?  permit | nil, message, rule
function gate.check(facts, plan, overrides) end
--- The rules in their order.
---@return {name: string, override: boolean}[]
function gate.rules() end

---@class core.net
local net = {}
--- Parses http, https, host names, IPv4, [IPv6]; refuses userinfo, a path other than "/", query, fragment, ports outside 1..65535.
---@param text string
---@return {scheme: string, host: string, port: integer, url: string}|nil, string?, Code?  url canonical (RFC 5952, lower case, no trailing slash, port written)
function net.url(text) end
---@param scheme string
---@param host string
---@param port integer
---@return string url  canonical
function net.join(scheme, host, port) end
--- Equality as parsed; text that does not parse equals nothing but itself.
---@return boolean
function net.same(url, other) end
--- An IP address in canonical form.
---@return string|nil, integer|string|nil family  4 or 6 | nil, message, code
function net.address(text) end
---@return boolean|nil, string?, Code?
function net.inside(address, cidr) end
---@return string[]  canonical addresses of the local interfaces
function net.interfaces() end

---@class core.json
---@field null lightuserdata
local json = {}
--- Strict RFC 8259; integers of 64 bits are integers, larger ones decimal strings; depth at most 64 (or `depth`).
---@return any|nil, string?, Code?
function json.decode(text, depth) end
--- One line, keys sorted; a list() that is empty is [].
---@return string
function json.encode(value) end
--- Marks a table as a list and returns it.
function json.list(t) end

---@alias Shape true|table<string, Shape>|Shape[]  the text of an element; an element, with the fields that are wanted; { shape }: it repeats
---@class core.xml
local xml = {}
--- Reads a whole document, and of that only what the shape names, the document's own element first: { Answer = { item = { { id = true } } } }
--- makes { Answer = { item = { { id = "1" }, ... } } }.  Prefixes and attributes are left out.  Where an element is, so are the lists that its
--- shape names, if empty; what is absent is nil; what comes twice and is no list is an error.  No DOCTYPE, depth at most 64.
---@param text string
---@param shape table<string, Shape>
---@return table|nil, string?, Code?
function xml.decode(text, shape) end
--- For text between tags and in attributes; raises on bytes that no XML can have.
---@return string
function xml.escape(text) end

---@class core.crypto
local crypto = {}
---@return string digest  raw bytes
function crypto.sha1(s) end
---@return string digest
function crypto.sha256(s) end
---@param key string
---@return string digest  HMAC-SHA256
function crypto.hmac(key, s) end
---@return string
function crypto.hex(s) end
---@return string
function crypto.base64(s) end
---@return string|nil, string?, Code?
function crypto.unbase64(s) end
---@param n integer bytes
---@return string
function crypto.random(n) end
--- The first certificate of a PEM text.
---@param pem string
---@return {subject: string, names: string[], not_before: integer, not_after: integer}|nil, string?, Code?  Unix times
function crypto.certificate(pem) end
--- Whether a key, both PEM, is the one of the first certificate.
---@return boolean|nil, string?, Code?
function crypto.matches(certificate, key) end

---@class core.fs
local fs = {}
---@param limit integer?  bytes, default 16 MiB; longer is an error
---@return string|nil, string?, Code?
function fs.read(path, limit) end
--- Atomic: temporary file beside it, fsync, rename, fsync of the directory.  o = {mode=0644 octal string "0644", owner="user[:group]" or {uid=,gid=}}; default mode 0644.
---@return true|nil, string?, Code?
function fs.write(path, data, o) end
--- Whether write would go well, as far as can be told: all of it but the last step, and nothing is left behind.
---@return true|nil, string?, Code?
function fs.rehearse(path, data, o) end
--- Like write, but only if nothing has that name, else "conflict": a finished, flushed file is linked there, so that of many who do it at once, on NFS too, one does.
---@return true|nil, string?, Code?
function fs.create(path, data, o) end
--- Makes a directory and its parents, each new one fsynced into its parent.  o as in write, default mode 0755.
---@return true|nil, string?, Code?
function fs.mkdir(path, o) end
--- Renames and fsyncs both directories; refuses to replace.
---@return true|nil, string?, Code?
function fs.rename(from, to) end
--- Removes a file (not a directory) and fsyncs its directory; missing is fine.
---@return true|nil, string?, Code?
function fs.remove(path) end
--- Names in a directory, sorted, without . and ..
---@return string[]|nil, string?, Code?
function fs.list(path) end
--- A link itself, unless o.follow.
---@param o {follow: boolean?}?
---@return {type: "file"|"directory"|"link"|"other", size: integer, mode: integer, uid: integer, gid: integer, inode: integer, mtime: number}|nil, string?, Code?
function fs.stat(path, o) end
--- An exclusive lock (flock) on a file that is made if missing (0600); "conflict" when another process holds it.  Released by close or with the process.
---@return Lock|nil, string?, Code?
function fs.lock(path) end
--- Whether some other process holds a flock on an existing file.
---@return boolean|nil, string?, Code?
function fs.locked(path) end
---@class Lock
local Lock = {}
function Lock:close() end

---@class core.wal
local wal = {}
--- How far the segments of a log, oldest first, are sound: to that byte of that segment.  With `why`, a record there keeps every etcd from 3.4 to 3.7 from starting; what etcd repairs itself is no reason.
---@param paths string[]
---@return {segment: integer, offset: integer, why: string?}|nil, string?, Code?
function wal.sound(paths) end

---@class core.proc
local proc = {}
--- o.env adds to the environment (false removes); o.stdin "null"(default)|"inherit"; o.stdout, o.stderr "inherit"(default)|"null"|"pipe"|PATH; o.limit of captured bytes each.
---@param o {[integer]: string, env: table<string,string|false>?, stdin: string?, stdout: string?, stderr: string?, limit: integer?, dir: string?}
---@return Child|nil, string?, Code?
function proc.spawn(o) end
--- (waits) Spawns, captures stdout and stderr, kills it (whole process group) after `timeout` seconds.
--- More than `limit` bytes of stdout are an error; of stderr so many are kept.
---@param o {[integer]: string, timeout: number?, env: table?, limit: integer?}
---@return {status: integer?, signal: integer?, stdout: string, stderr: string}|nil, string?, Code?
function proc.run(o) end
--- Replaces this process; returns only when that failed.
---@param argv string[]
---@param env table<string,string|false>?  added to the environment
---@return nil, string, Code
function proc.exec(argv, env) end
---@return integer
function proc.pid() end
---@class Child
---@field pid integer
local Child = {}
--- (waits)
---@return {status: integer?, signal: integer?, stdout: string, stderr: string}
function Child:wait() end
---@param signal integer|string|nil  default "TERM"
---@return true|nil, string?, Code?
function Child:kill(signal) end

---@class core.log
local log = {}
---@param o {level: string?, format: string?}
function log.setup(o) end
function log.debug(message) end
function log.info(message) end
function log.warn(message) end
function log.error(message) end
--- From now on this value is printed as [secret], wherever it stands.
function log.secret(value) end
--- The text with secrets and userinfo of URLs replaced.
---@return string
function log.redact(text) end
