package fleet

// FaultKind names what is broken.
type FaultKind string

// The kinds of fault. Which of them a driver can inject, and into what, its Prepare says.
const (
	Kill           FaultKind = "kill"
	Pause          FaultKind = "pause"
	RestartLoop    FaultKind = "restart-loop"
	Stop           FaultKind = "stop"
	Slow           FaultKind = "slow"
	CPUPressure    FaultKind = "cpu-pressure"
	MemoryPressure FaultKind = "memory-pressure"

	Isolate   FaultKind = "isolate"
	Partition FaultKind = "partition"
	Latency   FaultKind = "latency"
	Bandwidth FaultKind = "bandwidth"
	Reset     FaultKind = "reset"
	BlackHole FaultKind = "black-hole"
	Loss      FaultKind = "loss"
	DNS       FaultKind = "dns"

	StoreWipe    FaultKind = "store-wipe"
	StoreCorrupt FaultKind = "store-corrupt"
	QuorumLoss   FaultKind = "quorum-loss"
	DiskFull     FaultKind = "disk-full"

	BadConfig   FaultKind = "bad-config"
	KeyWipe     FaultKind = "key-wipe"
	CertExpire  FaultKind = "cert-expire"
	ClockOffset FaultKind = "clock-offset"

	LocationDeny    FaultKind = "location-deny"
	LocationCorrupt FaultKind = "location-corrupt"
	LocationDelete  FaultKind = "location-delete"

	UpstreamError   FaultKind = "upstream-error"
	UpstreamSlow    FaultKind = "upstream-slow"
	LoadSpike       FaultKind = "load-spike"
	ConnectionFlood FaultKind = "connection-flood"
	RetryStorm      FaultKind = "retry-storm"
)

// Kind describes a kind of fault to people, and to who checks a scenario.
type Kind struct {
	Kind  FaultKind
	Does  string   // what is broken, in one line
	Undo  string   // how it ends, in one line
	Roles []Role   // what it is injected into
	Needs []string // parameters that must be set: names of fields of Params, as in YAML
	Takes []string // parameters that may be set besides
	Modes []string // the values of Params.Mode, the default first
}

// Kinds lists all kinds of fault, those of processes first, then those of networks, of what is stored, of what is configured,
// of backups, and of traffic.
func Kinds() []Kind {
	return append(append(processKinds(), networkKinds()...), append(storedKinds(), trafficKinds()...)...)
}

// KindOf describes one kind.
func KindOf(k FaultKind) (Kind, bool) {
	for _, kind := range Kinds() {
		if kind.Kind == k {
			return kind, true
		}
	}
	return Kind{}, false
}

// gateways are the roles of the gateway's own instances that a drill may break.
func gateways() []Role { return []Role{Control, Data} }

func processKinds() []Kind {
	return []Kind{
		{Kind: Kill, Roles: gateways(), Does: "SIGKILL, no goodbye; stays down until reverted", Undo: "start again, and wait until it serves"},
		{Kind: Pause, Roles: gateways(), Does: "SIGSTOP: it accepts connections and answers nothing", Undo: "SIGCONT, and wait until it serves"},
		{Kind: RestartLoop, Roles: gateways(), Does: "killed and started again, over and over", Undo: "leave it running, and wait until it serves",
			Takes: []string{"every"}},
		{Kind: Stop, Roles: gateways(), Does: "asked to end, killed if it does not; stays down until reverted", Undo: "start again, and wait until it serves"},
		{Kind: Slow, Roles: gateways(), Does: "runs for a share of the time only", Undo: "let it run all the time", Needs: []string{"share"}},
		{Kind: CPUPressure, Roles: gateways(), Does: "processes beside it that use up the CPU", Undo: "end them", Takes: []string{"count"}},
		{Kind: MemoryPressure, Roles: gateways(), Does: "a process beside it that holds memory", Undo: "end it", Needs: []string{"bytes"}},
	}
}

func networkKinds() []Kind {
	all := append(gateways(), Upstream, Location)
	return []Kind{
		{Kind: Isolate, Roles: gateways(), Does: "cut off from all others, both ways", Undo: "connect again"},
		{Kind: Partition, Roles: gateways(), Does: "what it sends to its peer is dropped, one way; what comes back arrives", Undo: "connect again",
			Needs: []string{"peer"}},
		{Kind: Latency, Roles: all, Does: "everything arrives later, in each direction", Undo: "carry without delay",
			Needs: []string{"delay"}, Takes: []string{"jitter", "peer"}},
		{Kind: Bandwidth, Roles: all, Does: "no more than a rate of bytes per second, in each direction", Undo: "carry at full speed",
			Needs: []string{"rate"}, Takes: []string{"peer"}},
		{Kind: Reset, Roles: all, Does: "connections are reset, new ones too", Undo: "carry again", Takes: []string{"peer"}},
		{Kind: BlackHole, Roles: all, Does: "nothing arrives any more: no byte, no end, no reset", Undo: "carry again", Takes: []string{"peer"}},
		{Kind: Loss, Roles: all, Does: "a share of the packets is dropped", Undo: "drop none", Needs: []string{"share"}, Takes: []string{"peer"}},
		{Kind: DNS, Roles: all, Does: "its name resolves wrongly, to nothing, or slowly", Undo: "resolve as before",
			Takes: []string{"mode", "delay"}, Modes: []string{"empty", "wrong", "slow"}},
	}
}

func storedKinds() []Kind {
	control, location := []Role{Control}, []Role{Location}
	return []Kind{
		{Kind: StoreWipe, Roles: control, Does: "killed, its store taken away, started without", Undo: "start again, and wait until it serves what was restored"},
		{Kind: StoreCorrupt, Roles: control, Does: "killed, its store damaged, started again", Undo: "put the store back as it was",
			Takes: []string{"mode", "seed"}, Modes: []string{"flip", "truncate"}},
		{Kind: QuorumLoss, Roles: control, Does: "the majority of the store's members is killed", Undo: "start them again"},
		{Kind: DiskFull, Roles: control, Does: "no room is left for its data", Undo: "give the room back"},
		{Kind: BadConfig, Roles: control, Does: "a valid but wrong configuration is pushed", Undo: "push what was there before, unless it was restored"},
		{Kind: KeyWipe, Roles: control, Does: "all keys are deleted", Undo: "put the keys back, unless they were restored or revoked"},
		{Kind: CertExpire, Roles: control, Does: "its certificate is replaced by one that has expired", Undo: "put the certificate back"},
		{Kind: ClockOffset, Roles: gateways(), Does: "the clock that it goes by is wrong", Undo: "set the clock right", Needs: []string{"offset"}},
		{Kind: LocationDeny, Roles: location, Does: "refuses every access", Undo: "let in again"},
		{Kind: LocationCorrupt, Roles: location, Does: "bytes of the newest backups are flipped", Undo: "put the bytes back",
			Takes: []string{"mode", "count", "seed"}, Modes: []string{"data", "point"}},
		{Kind: LocationDelete, Roles: location, Does: "everything that the writer's credentials can delete is deleted", Undo: "put back what was deleted"},
	}
}

func trafficKinds() []Kind {
	front := append([]Role{Edge}, gateways()...)
	return []Kind{
		{Kind: UpstreamError, Roles: []Role{Upstream}, Does: "a share of its answers are errors", Undo: "answer as before",
			Takes: []string{"share", "status"}},
		{Kind: UpstreamSlow, Roles: []Role{Upstream}, Does: "a share of its answers come late", Undo: "answer as before",
			Needs: []string{"delay"}, Takes: []string{"share"}},
		{Kind: LoadSpike, Roles: front, Does: "requests at a rate, beside the probes", Undo: "end the load", Needs: []string{"rate"}},
		{Kind: ConnectionFlood, Roles: front, Does: "connections that are idle, or send headers slowly", Undo: "close them",
			Needs: []string{"count"}, Takes: []string{"mode"}, Modes: []string{"idle", "slow-header"}},
		{Kind: RetryStorm, Roles: front, Does: "clients that repeat what fails, at once and without a budget", Undo: "end the clients",
			Needs: []string{"rate"}, Takes: []string{"count"}},
	}
}
