package cli

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"syscall"

	"linecrypt/ctrlplane/instance"
	"linecrypt/ctrlplane/server"
)

// tracePackets is how many packets a trace takes unless --packets says otherwise.
const tracePackets = 50

var traceCommand = command{
	name:    "trace",
	args:    "CLIENT SERVER | END | SESSION-ID [--packets N] [--json] [--name NAME]",
	summary: "print the next packets as each station of the packet path saw them",
	details: `Prints the next packets of a connection, named as 'linecrypt sessions' prints it, or of an END: an address, a prefix, address:port or
:port. For each packet there is what came (rx), what the table knows of its connection (verdict), the segments that the translator
made of it (translate), frames that were sealed and opened, what was given to a port (tx), and the counters that grew: why it was dropped,
if it was. What the gateway sends by itself meanwhile comes as packet 0. Payload is not shown. While a trace runs packets are worked one by
one; it ends with the last packet, at SIGINT, and with its output.`,
	takes: 2,
	fewer: true,
	define: func(a *App, fs *flag.FlagSet) func() error {
		look := addLookFlags(fs)
		packets := fs.Int("packets", tracePackets, "end after `N` packets for each worker (default "+strconv.Itoa(tracePackets)+")")
		return func() error {
			switch {
			case fs.NArg() == 0:
				return &usageError{"trace", errors.New("want the two ends of a connection, an address, a prefix, address:port, :port or a session ID")}
			case *packets < 1 || *packets > server.MaxTracePackets:
				return &usageError{"trace", fmt.Errorf("--packets %d is not 1 to %d", *packets, server.MaxTracePackets)}
			}
			return a.trace(*look.name, fs.Args(), *packets, *look.json)
		}
	},
}

func (a *App) trace(name string, ends []string, packets int, asJSON bool) error {
	in, err := instance.Find(name)
	if err != nil {
		return err
	}
	if _, ok := in.Running(instance.ControlPlane); !ok {
		return fmt.Errorf("instance %q has no control plane just now, which would have its workers trace", name)
	}
	ctx, end := a.untilClosed()
	defer end()
	err = followTrace(ctx, in, ends, packets, func(l *server.TraceLine) error {
		if asJSON {
			return json.NewEncoder(a.Stdout).Encode(l)
		}
		return printTraceLine(a.Stdout, l)
	})
	if ctx.Err() != nil || errors.Is(err, syscall.EPIPE) {
		return nil
	}
	return err
}

// followTrace has a control plane trace, and calls take with each line.
func followTrace(ctx context.Context, in *instance.Instance, ends []string, packets int, take func(*server.TraceLine) error) error {
	what := url.Values{"end": ends, "packets": {strconv.Itoa(packets)}}
	q, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://control/trace?"+what.Encode(), nil)
	if err != nil {
		return err
	}
	answer, err := controlClient(in, 0).Do(q) // as long as packets come
	if err != nil {
		return fmt.Errorf("the control plane does not answer: %w", err)
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(io.LimitReader(answer.Body, 1000))
		return errors.New(strings.TrimSpace(string(text)))
	}
	for lines := json.NewDecoder(bufio.NewReader(answer.Body)); ; {
		var l server.TraceLine
		switch err := lines.Decode(&l); {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return fmt.Errorf("the trace ended early: %w", err)
		}
		if l.Error != "" {
			return errors.New(l.Error)
		}
		if err := take(&l); err != nil {
			return err
		}
	}
}

// printTraceLine prints an event, and a heading in front of each packet.
func printTraceLine(out io.Writer, l *server.TraceLine) error {
	if l.Station == "" {
		_, err := fmt.Fprintf(out, "worker %d: %d events were overwritten before they were read\n", l.Worker, l.Lost)
		return err
	}
	if l.Station == "rx" {
		if _, err := fmt.Fprintf(out, "\npacket %d, worker %d, %s\n", l.Packet, l.Worker, l.Time.Format("15:04:05.000000")); err != nil {
			return err
		}
	}
	mark := "  "
	if l.Packet == 0 {
		mark = "* " // of the gateway's own accord
	}
	_, err := fmt.Fprintf(out, "%s%-9s  %s\n", mark, l.Station, traceSays(l))
	return err
}

// traceSays is what an event tells, in words.
func traceSays(l *server.TraceLine) string {
	switch l.Station {
	case "rx", "tx":
		text := fmt.Sprintf("%-7s  %s > %s", l.Port, l.Src, l.Dst)
		if l.VLAN != 0 {
			text += fmt.Sprintf(", VLAN %s", vlanText(l.VLAN))
		}
		if l.Proto != protoTCP {
			return text + fmt.Sprintf(", protocol %d, %d bytes", l.Proto, l.Size)
		}
		text += fmt.Sprintf(" [%s] seq %d ack %d win %d, %d bytes of data", l.Flags, l.Seq, l.Ack, l.Window, l.Length)
		if len(l.Options) > 0 {
			text += ", " + strings.Join(l.Options, " ")
		}
		return text
	case "verdict":
		if l.Flow == 0 {
			return l.State
		}
		return fmt.Sprintf("flow %d is %s; %s by rule %s", l.Flow, l.State, l.Verdict, orDash(l.Rule))
	case "translate":
		return fmt.Sprintf("to %-7s [%s] seq %d ack %d win %d, %d bytes", l.Port, l.Flags, l.Seq, l.Ack, l.Window, l.Length)
	case "seal":
		return fmt.Sprintf("%d bytes of plaintext%s", l.Length, failed(l.OK))
	case "open":
		return fmt.Sprintf("%d bytes of ciphertext%s", l.Length, failed(l.OK))
	}
	if strings.HasPrefix(l.Counter, "drop_") {
		return fmt.Sprintf("DROPPED as %s: %s", l.Counter, l.Help)
	}
	return fmt.Sprintf("%s +%d", l.Counter, l.Number)
}

const protoTCP = 6

func failed(ok *bool) string {
	if ok != nil && !*ok {
		return ": FAILED, its tag is wrong"
	}
	return ""
}

// vlanText prints a tag, or the outer and the inner one.
func vlanText(v uint32) string {
	if outer := v >> 12; outer != 0 {
		return fmt.Sprintf("%d.%d", outer, v&0xfff)
	}
	return strconv.Itoa(int(v))
}
