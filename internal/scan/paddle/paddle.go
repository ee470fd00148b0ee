// Package paddle scans PaddlePaddle's inference models: the program with its operators, and
// the file of its parameters. What paddle.save writes is a pickle like any other.
package paddle

import (
	"context"
	"fmt"
	"strings"

	"google.golang.org/protobuf/encoding/protowire"

	"assay/internal/scan"
	"assay/internal/scan/wire"
)

// Scanner scans programs: .pdmodel, or __model__ before Paddle 2 (framework.proto).
type Scanner struct{}

// Describe names the format and its rules.
func (Scanner) Describe() scan.Description {
	return scan.Description{Name: "paddle", Title: "PaddlePaddle program", Rules: []scan.Rule{
		{ID: "paddle-operator", Title: "An operator runs code, or reaches files or the network"},
		{ID: "paddle-unknown", Title: "An operator or field is not known"},
	}}
}

// Match reports a first block: its index, its parent's, and a variable or an operator.
func (Scanner) Match(p scan.Probe) bool {
	h := p.Head
	if len(h) < 8 || h[0] != 0x0a {
		return false
	}
	_, n := protowire.ConsumeVarint(h[1:])
	if n < 0 {
		return false
	}
	rest := h[1+n:]
	for _, want := range []protowire.Number{1, 2} {
		number, kind, n := protowire.ConsumeTag(rest)
		if n < 0 || number != want || kind != protowire.VarintType {
			return false
		}
		_, used := protowire.ConsumeVarint(rest[n:])
		if used < 0 {
			return false
		}
		rest = rest[n+used:]
	}
	number, kind, n := protowire.ConsumeTag(rest)
	return n > 0 && kind == protowire.BytesType && (number == 3 || number == 4)
}

// Scan walks the program.
func (Scanner) Scan(ctx context.Context, f *scan.File, r *scan.Report) error {
	r.AccountsForAll()
	at, size, err := f.Random(ctx)
	if err != nil {
		return err
	}
	w := &walk{ctx: ctx, file: f, report: r}
	return w.message("program", wire.Open(at, size))
}

type walk struct {
	ctx    context.Context
	file   *scan.File
	report *scan.Report
}

func (w *walk) tell(rule, subject string, severity scan.Severity, offset int64, message string) {
	w.report.AddOnce(scan.Finding{Rule: rule, Severity: severity, Place: w.file.Place(offset, subject), Message: message, Remedy: "Export the model anew for inference, or to ONNX."})
}

// messages are the fields of each message: the message that a field is, "" for what is not
// looked into.
var messages = map[string]map[int]string{
	"program":  {1: "block", 3: "", 4: "", 5: ""},
	"block":    {1: "", 2: "", 3: "", 4: "operator", 5: ""},
	"operator": {1: "", 2: "", 3: "", 4: "attribute", 5: ""},
}

func (w *walk) message(kind string, m wire.Message) error {
	if err := w.ctx.Err(); err != nil {
		return err
	}
	fields := messages[kind]
	return m.Fields(func(f wire.Field) error {
		inner, known := fields[f.Number]
		switch {
		case !known:
			w.tell("paddle-unknown", fmt.Sprintf("%s field %d", kind, f.Number), scan.Unknown, f.Offset, fmt.Sprintf("A %s has a field %d, which is not known.", kind, f.Number))
		case kind == "operator" && f.Number == 3:
			return w.operator(f)
		case inner == "" || inner == "attribute": // numbers and names: no allowed operator takes a path
		case f.Type != protowire.BytesType:
			return fmt.Errorf("%w at byte %d", wire.ErrDamaged, f.Offset)
		default:
			return w.message(inner, f.Body)
		}
		return nil
	})
}

func (w *walk) operator(f wire.Field) error {
	op, err := f.Body.Text()
	if err != nil {
		return err
	}
	name := strings.TrimSuffix(strings.TrimSuffix(op, "_grad"), "2")
	does, bad := harmful[op]
	switch {
	case bad:
		w.tell("paddle-operator", op, scan.High, f.Offset, fmt.Sprintf("It calls the operator %s, which %s.", op, does))
	case harmless[op] || harmless[name]:
	default:
		w.tell("paddle-unknown", op, scan.Unknown, f.Offset, fmt.Sprintf("It calls the operator %.200q, which is not known: it may be of a library that is not in the file.", op))
	}
	return nil
}
