// Package coreml scans Core ML's models: those of the format's own layers and operations
// compute and no more; custom ones are classes of the program that loads the model.
package coreml

import (
	"context"
	"fmt"
	"path"
	"strings"

	"google.golang.org/protobuf/encoding/protowire"

	"assay/internal/scan"
	"assay/internal/scan/secret"
	"assay/internal/scan/wire"
)

// Scanner scans .mlmodel files, of which a package (.mlpackage) holds one beside its
// weights (Model.proto, NeuralNetwork.proto and MIL.proto of coremltools 8).
type Scanner struct{}

// Describe names the format and its rules.
func (Scanner) Describe() scan.Description {
	return scan.Description{Name: "coreml", Title: "Core ML", Rules: append([]scan.Rule{
		{ID: "coreml-custom", Title: "A layer or model is a class of the program that loads the model"},
		{ID: "coreml-file", Title: "The model reads another file"},
		{ID: "coreml-unknown", Title: "The file has something that the format is not known to have"},
	}, secret.Rules("coreml")...)}
}

// Match reports a version and a description of inputs or outputs.
func (Scanner) Match(p scan.Probe) bool {
	h := p.Head
	if len(h) < 8 || h[0] != 0x08 || h[1] == 0 || h[1] > 30 || h[2] != 0x12 {
		return false
	}
	_, n := protowire.ConsumeVarint(h[3:])
	return n > 0 && feature(h[3+n:])
}

// feature reports whether a description begins with an input or an output: a name, maybe
// some words, and a type, which nothing else has that begins with a version.
func feature(b []byte) bool {
	number, kind, n := protowire.ConsumeTag(b)
	if n < 0 || kind != protowire.BytesType || number != 1 && number != 10 && number != 11 && number != 100 {
		return false
	}
	if number == 11 || number == 100 {
		return true // no inputs: the name of an output, or metadata
	}
	_, used := protowire.ConsumeVarint(b[n:])
	if used < 0 {
		return false
	}
	for rest, want := b[n+used:], protowire.Number(1); ; want++ {
		number, kind, n := protowire.ConsumeTag(rest)
		if n < 0 || kind != protowire.BytesType || number < want || want == 1 && number != 1 {
			return false
		}
		if want = number; number == 3 {
			return true
		}
		text, used := protowire.ConsumeBytes(rest[n:])
		if used < 0 || strings.ContainsFunc(string(text), func(c rune) bool { return c < ' ' && c != '\n' }) {
			return false
		}
		rest = rest[n+used:]
	}
}

// Scan walks the model.
func (Scanner) Scan(ctx context.Context, f *scan.File, r *scan.Report) error {
	r.AccountsForAll()
	at, size, err := f.Random(ctx)
	if err != nil {
		return err
	}
	w := &walk{ctx: ctx, file: f, report: r}
	return w.message("model", wire.Open(at, size))
}

type walk struct {
	ctx    context.Context
	file   *scan.File
	report *scan.Report
}

func (w *walk) tell(rule, subject string, severity scan.Severity, offset int64, message, remedy string) {
	w.report.AddOnce(scan.Finding{Rule: rule, Severity: severity, Place: w.file.Place(offset, subject), Message: message, Remedy: remedy})
}

// models are the kinds of model (the oneof Type of Model) that are numbers and names alone.
var models = []int{300, 301, 302, 304, 400, 401, 402, 404, 501, 560, 600, 601, 602, 603, 604, 606, 607, 609, 610, 900, 2000, 2001, 2002, 2003, 2004, 2005, 2006}

// messages are the fields of each message: the message that a field is, "" for what is not
// looked into.
var messages = func() map[string]map[int]string {
	model := map[int]string{1: "", 2: "description", 10: "", 200: "outer pipeline", 201: "outer pipeline", 202: "pipeline", 303: "network", 403: "network", 500: "network", 502: "program", 555: "custom model", 556: "linked model"}
	for _, n := range models {
		model[n] = ""
	}
	return map[string]map[int]string{
		"model":          model,
		"description":    {1: "", 10: "", 11: "", 12: "", 13: "", 14: "", 20: "", 21: "", 50: "", 100: "metadata"},
		"metadata":       {1: "text", 2: "text", 3: "text", 4: "text", 100: "pair"},
		"pair":           {1: "", 2: "text"},
		"outer pipeline": {1: "pipeline"},
		"pipeline":       {1: "model", 2: ""},
		"network":        {1: "layer", 2: "", 5: "", 6: "", 10: "", 100: "", 101: "", 200: ""},
		"program":        {1: "", 2: "function entry", 3: "text", 4: ""},
		"function entry": {1: "", 2: "function"},
		"function":       {1: "", 2: "", 3: "block entry", 4: ""},
		"block entry":    {1: "", 2: "block"},
		"block":          {1: "", 2: "", 3: "operation", 4: ""},
		"operation":      {1: "", 2: "", 3: "", 4: "block", 5: "attribute"},
		"attribute":      {1: "", 2: "value"},
		"value":          {1: "", 2: "", 3: "", 5: "blob file"},
		"blob file":      {1: "", 2: ""},
	}
}()

func (w *walk) message(kind string, m wire.Message) error {
	if err := w.ctx.Err(); err != nil {
		return err
	}
	switch kind {
	case "text":
		return w.text(m)
	case "layer":
		return w.layer(m)
	case "custom model", "linked model":
		return w.outside(kind, m)
	}
	fields := messages[kind]
	return m.Fields(func(f wire.Field) error {
		inner, known := fields[f.Number]
		switch {
		case !known:
			w.tell("coreml-unknown", fmt.Sprintf("%s field %d", kind, f.Number), scan.Unknown, f.Offset, fmt.Sprintf("A %s has a field %d, which is not known.", kind, f.Number), "Convert the model anew for a version of Core ML that is known.")
		case kind == "operation" && f.Number == 1:
			return w.operation(f)
		case kind == "blob file" && f.Number == 1:
			return w.blob(f)
		case inner == "":
		case f.Type != protowire.BytesType:
			return fmt.Errorf("%w at byte %d", wire.ErrDamaged, f.Offset)
		default:
			return w.message(inner, f.Body)
		}
		return nil
	})
}

func (w *walk) text(m wire.Message) error {
	s, err := m.Head(wire.MaxText)
	for _, found := range secret.Findings("coreml", "The metadata", s) {
		w.tell(found.Rule, found.Message, found.Severity, m.Offset()+found.Place.Offset, found.Message, found.Remedy)
	}
	return err
}

const (
	customLayer = 500
	lastLayer   = 1600 // above all layers of NeuralNetwork.proto
	className   = 10
)

// layer judges a layer of a network by the field that says what it is.
func (w *walk) layer(m wire.Message) error {
	return m.Fields(func(f wire.Field) error {
		switch {
		case f.Number == customLayer && f.Type == protowire.BytesType:
			name, err := textOf(f.Body, className)
			w.custom(f.Offset, "layer", name)
			return err
		case f.Number > lastLayer:
			w.tell("coreml-unknown", fmt.Sprintf("layer %d", f.Number), scan.Unknown, f.Offset, fmt.Sprintf("A layer is of type %d, which is not known.", f.Number), "Convert the model anew for a version of Core ML that is known.")
		}
		return nil
	})
}

func (w *walk) custom(offset int64, what, name string) {
	w.tell("coreml-custom", name, scan.Unknown, offset, fmt.Sprintf("A %s is the class %.200q of the program that loads the model, whose code is not in the file.", what, name), "Convert the model with Core ML's own layers only, or review the program's class of this name.")
}

// outside judges a model that is another file or a class of the program.
func (w *walk) outside(kind string, m wire.Message) error {
	if kind == "custom model" {
		name, err := textOf(m, 1)
		w.custom(m.Offset(), "model", name)
		return err
	}
	var name string
	err := m.Fields(func(f wire.Field) error {
		if f.Number != 1 {
			return nil
		}
		return f.Body.Fields(func(f wire.Field) (err error) {
			if f.Number == 1 {
				name, err = textOf(f.Body, 1)
			}
			return err
		})
	})
	w.tell("coreml-file", name, scan.High, m.Offset(), fmt.Sprintf("It stands for the model in the file %.200q, which the program looks for when it loads this one.", name), "Load that file itself, after it was scanned.")
	return err
}

// textOf gives the text of a field.
func textOf(m wire.Message, number int) (out string, err error) {
	err = m.Fields(func(f wire.Field) (err error) {
		if f.Number == number {
			out, err = f.Body.Text()
		}
		return err
	})
	return out, err
}

func (w *walk) operation(f wire.Field) error {
	op, err := f.Body.Text()
	if err != nil {
		return err
	}
	if op == "custom_layer" || op == "custom" {
		w.custom(f.Offset, "operation", op)
		return nil
	}
	if _, name, ok := strings.Cut(op, "."); ok {
		op = name // of a dialect, as in ios17.cast
	}
	if !operations[op] {
		w.tell("coreml-custom", op, scan.Unknown, f.Offset, fmt.Sprintf("It calls the operation %.200q, which is not known.", op), "Convert the model with Core ML's own operations only.")
	}
	return nil
}

// blob judges where the numbers of a constant are read from.
func (w *walk) blob(f wire.Field) error {
	name, err := f.Body.Text()
	inside, ok := strings.CutPrefix(name, "@model_path/")
	if !ok {
		inside = name
	}
	clean := path.Clean(strings.ReplaceAll(inside, `\`, "/"))
	if path.IsAbs(clean) || clean == ".." || strings.HasPrefix(clean, "../") || strings.Contains(name, "://") || len(clean) > 1 && clean[1] == ':' || strings.ContainsRune(clean, 0) {
		w.tell("coreml-file", name, scan.High, f.Offset, fmt.Sprintf("The numbers of a constant are to be read from %.200q, outside of the model's package.", name), "Do not load it; convert the model anew.")
	}
	return err
}
