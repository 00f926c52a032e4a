package scenario

import (
	"errors"
	"fmt"
)

// Check checks what involves more than one key. Load and Parse have called it; a Scenario that was changed with Set needs it again.
func (s *Scenario) Check() error {
	var errs []error
	refuse := func(key, format string, args ...any) { errs = append(errs, s.Err(key, fmt.Errorf(format, args...))) }
	device := s.Ports.Kind == PortsDevice
	for _, p := range []struct{ key, is string }{{"ports.inside", s.Ports.Inside}, {"ports.outside", s.Ports.Outside}} {
		if device && p.is == "" {
			refuse(p.key, "no port is given, which ports.kind device needs")
		}
		if !device && p.is != "" {
			refuse(p.key, "a port is only used with ports.kind device, not %s", s.Ports.Kind)
		}
	}
	if device && s.Ports.Inside != "" && s.Ports.Inside == s.Ports.Outside {
		refuse("ports.outside", "inside and outside are the same port %q", s.Ports.Outside)
	}
	if device && s.Cores.Mode == ModeTurns {
		refuse("cores.mode", "turns need the gateway in this process, which ports.kind device has elsewhere")
	}
	if device && s.Traffic.Keys == KeysShared {
		refuse("traffic.keys", "a gateway elsewhere agrees on keys with every connection: shared is for one in this process")
	}
	if f := s.Disturb.SynFlood + s.Disturb.SynENOFlood; f > 9500 {
		refuse("disturb.syn_eno_flood", "both floods are %g percent of the packets, which leaves no load to disturb", float64(f)/100)
	}
	if s.Measure == Handshakes && s.Disturb.Churn > 0 {
		refuse("disturb.churn", "measure handshakes opens and closes connections as fast as it goes: leave churn out")
	}
	if s.Measure == Handshakes && s.Traffic.Plain > 0 {
		refuse("traffic.plain", "a plain connection has no handshake to measure")
	}
	if (s.Measure == LossFree || s.Measure == Latency) && s.Disturb.Loss > 0 {
		refuse("disturb.loss", "what is lost on purpose cannot be told from what the gateway loses: leave it out of measure %s", s.Measure)
	}
	if device && s.Cores.Workers > 1 {
		refuse("cores.workers", "the gateway of ports.kind device is elsewhere, and so are its workers")
	}
	if s.Measure == Scaling && s.Cores.Workers == 1 {
		refuse("cores.workers", "measure scaling compares several workers with one: say how many")
	}
	if s.Cores.Workers > 1 && s.Cores.Mode != ModeBeside && (s.Measure == LossFree || s.Measure == Latency) {
		refuse("cores.workers", "several workers that take turns with the generator have no common clock for measure %s: say cores.mode beside", s.Measure)
	}
	listed := map[int]bool{}
	for _, size := range s.Traffic.Sizes {
		if listed[size.Bytes] {
			refuse("traffic.sizes", "%d is listed twice", size.Bytes)
		}
		listed[size.Bytes] = true
	}
	if s.Traffic.Run > s.Traffic.Window {
		refuse("traffic.run", "%d segments in a row are more than the window of %d", s.Traffic.Run, s.Traffic.Window)
	}
	return errors.Join(errs...)
}
