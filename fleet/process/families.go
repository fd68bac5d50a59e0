package process

import (
	"fmt"

	"gwdr/fleet"
)

// processFaults are those of processes.
func processFaults() map[fleet.FaultKind]injector {
	gateways := []fleet.Role{fleet.Control, fleet.Data, fleet.Edge}
	return map[fleet.FaultKind]injector{
		fleet.Kill:  {roles: gateways, inject: (*supervisor).killAll, revert: (*supervisor).restart, look: (*Lab).lookDown, still: stillDown},
		fleet.Pause: {roles: gateways, inject: (*supervisor).pause, revert: (*supervisor).resume, look: (*Lab).lookHung, still: stillStopped},
		fleet.Slow: {roles: gateways, inject: (*supervisor).slow, revert: (*supervisor).unslow, look: (*Lab).lookSlow, refuse: refuseSlow,
			still: stillThere},
		fleet.RestartLoop: {roles: gateways, inject: (*supervisor).loop, revert: (*supervisor).unloop, look: (*Lab).lookRestarts, refuse: refuseLoop},
		fleet.CPUPressure: {roles: gateways, inject: (*supervisor).press, revert: (*supervisor).relieve, look: (*Lab).lookPressed, refuse: refuseCPU,
			still: stillPressed},
		fleet.MemoryPressure: {roles: gateways, inject: (*supervisor).press, revert: (*supervisor).relieve, look: (*Lab).lookPressed,
			refuse: refuseMemory, still: stillPressed},
		fleet.ClockOffset: {roles: []fleet.Role{fleet.Data}, inject: (*supervisor).shift, revert: (*supervisor).unshift, look: (*Lab).lookClock,
			refuse: refuseClock},
	}
}

// storeFaults are those of what a control plane keeps.
func storeFaults() map[fleet.FaultKind]injector {
	control := []fleet.Role{fleet.Control}
	return map[fleet.FaultKind]injector{
		fleet.StoreWipe:    {roles: control, inject: (*supervisor).wipe, revert: (*supervisor).unwipe, look: (*Lab).lookBlank},
		fleet.StoreCorrupt: {roles: control, inject: (*supervisor).corrupt, revert: (*supervisor).uncorrupt, look: (*Lab).lookCorrupt},
		fleet.QuorumLoss: {roles: control, prepare: (*Lab).spare, inject: (*supervisor).killAll, revert: (*supervisor).rejoin,
			look: (*Lab).lookNoQuorum, still: stillDown},
		fleet.DiskFull: {roles: control, inject: (*supervisor).fill, revert: (*supervisor).empty, look: (*Lab).lookFull, refuse: refuseFull},
	}
}

// impossible says why a lab with the replication cannot do some kinds of fault.
func impossible(replication string) map[fleet.FaultKind]string {
	never := map[fleet.FaultKind]string{
		fleet.CertExpire: "the lab serves no TLS: there is no certificate to replace",
		fleet.Loss:       "the lab's links carry streams, which lose no packets; that takes a fleet with packet filters",
		fleet.DNS:        "the lab's processes know each other by address, so no name is resolved",
	}
	if replication == ReplicationSync {
		const rollback = "a member of a quorum that came back with another store than it had could undo what was acknowledged"
		never[fleet.StoreWipe], never[fleet.StoreCorrupt] = rollback, rollback
	} else {
		never[fleet.QuorumLoss] = fmt.Sprintf("with replication %s each control plane of the lab has a store of one member, "+
			"so that there is no majority to lose; with %s there is", replication, ReplicationSync)
	}
	return never
}
