// Package onnx scans ONNX models: where they would read other files, whose operators they
// call, and whether tensors are what they say. It walks a file in place, so that a model
// of any size takes the same memory; assay/onnx, which computes with models, holds them.
package onnx

import (
	"bytes"
	"context"
	"fmt"
	"path"
	"strconv"
	"strings"

	"google.golang.org/protobuf/encoding/protowire"

	"assay/internal/scan"
	"assay/internal/scan/secret"
	"assay/internal/scan/wire"
)

// Scanner scans ONNX models (onnx.proto of IR version 13 and before).
type Scanner struct{}

// Describe names the format and its rules.
func (Scanner) Describe() scan.Description {
	return scan.Description{Name: "onnx", Title: "ONNX", Rules: append([]scan.Rule{
		{ID: "onnx-external", Title: "A tensor is read from outside the model's folder"},
		{ID: "onnx-operator", Title: "An operator runs code that is not in the file"},
		{ID: "onnx-domain", Title: "An operator of a domain that is not known needs a library"},
		{ID: "onnx-function", Title: "A function takes the place of one of ONNX's own operators"},
		{ID: "onnx-tensor", Title: "A tensor's bytes are not as many as its shape needs"},
		{ID: "onnx-records", Title: "The model holds records that it was trained on"},
		{ID: "onnx-unknown", Title: "The file has a field that the format does not have"},
	}, secret.Rules("onnx")...)}
}

// Match reports a version and after it fields of a model, as all writers order them. A
// producer that is no text is no producer: TensorFlow's SavedModel has a message there.
func (Scanner) Match(p scan.Probe) bool {
	h := p.Head
	if len(h) < 4 || h[0] != 0x08 || h[1] == 0 || h[1] > 30 {
		return false
	}
	fields := 0
	for rest := h[2:]; len(rest) > 0; fields++ {
		number, kind, n := protowire.ConsumeTag(rest)
		want, known := modelFields[int(number)]
		if n < 0 || !known || (want == "number") != (kind == protowire.VarintType) || kind != protowire.VarintType && kind != protowire.BytesType {
			return n < 0 && fields > 0
		}
		if kind == protowire.VarintType {
			_, used := protowire.ConsumeVarint(rest[n:])
			if used < 0 {
				return false
			}
			rest = rest[n+used:]
			continue
		}
		body, used := protowire.ConsumeBytes(rest[n:])
		if used < 0 {
			return number == 7 || number == 25 || number == 14 || fields > 0
		}
		if number == 2 && bytes.ContainsFunc(body, func(c rune) bool { return c < ' ' }) {
			return false
		}
		rest = rest[n+used:]
	}
	return fields > 0
}

var modelFields = map[int]string{1: "number", 2: "", 3: "", 4: "", 5: "number", 6: "", 7: "graph", 8: "opset", 14: "metadata", 20: "training", 25: "function", 26: ""}

// Scan walks the model.
func (Scanner) Scan(ctx context.Context, f *scan.File, r *scan.Report) error {
	r.AccountsForAll()
	at, size, err := f.Random(ctx)
	if err != nil {
		return err
	}
	w := &walk{file: f, report: r, local: map[string]bool{}}
	model := wire.Open(at, size)
	// Functions may stand after the graph that calls them.
	err = model.Fields(func(f wire.Field) error {
		if f.Number == 25 {
			return w.declare(f.Body)
		}
		return nil
	})
	if err == nil {
		err = w.message("model", model)
	}
	w.compared()
	return err
}

type walk struct {
	file   *scan.File
	report *scan.Report
	local  map[string]bool // domains and names of the model's own functions
	tables
}

// tell reports, the same rule with the same subject only once.
func (w *walk) tell(rule, subject string, severity scan.Severity, offset int64, message, remedy string) {
	w.report.AddOnce(scan.Finding{Rule: rule, Severity: severity, Place: w.file.Place(offset, subject), Message: message, Remedy: remedy})
}

const maxFunctions = 10_000

func (w *walk) declare(m wire.Message) error {
	var name, domain string
	err := m.Fields(func(f wire.Field) (err error) {
		switch f.Number {
		case 1:
			name, err = f.Body.Text()
		case 10:
			domain, err = f.Body.Text()
		}
		return err
	})
	if err != nil {
		return err
	}
	if len(w.local) >= maxFunctions {
		return fmt.Errorf("it has more than %d functions", maxFunctions)
	}
	w.local[domain+"\x00"+name] = true
	if own(domain) {
		w.tell("onnx-function", name, scan.High, m.Offset(), fmt.Sprintf("The model defines %q in the domain of ONNX's own operators: runtimes differ in which of the two they run, so that what was checked may not be what is run.", name), "Export the model anew; functions of one's own belong into a domain of one's own.")
	}
	return nil
}

func own(domain string) bool {
	switch domain {
	case "", "ai.onnx", "ai.onnx.ml", "ai.onnx.training", "ai.onnx.preview", "ai.onnx.preview.training":
		return true
	}
	return false
}

// messages are the fields of each message: the message that a field is, "" for what is not
// looked into.
var messages = map[string]map[int]string{
	"model":     modelFields,
	"graph":     {1: "node", 2: "", 5: "tensor", 10: "", 11: "value", 12: "value", 13: "value", 14: "", 15: "sparse", 16: "metadata"},
	"node":      {1: "", 2: "", 3: "", 4: "", 5: "attribute", 6: "", 7: "", 8: "", 9: "metadata", 10: ""},
	"attribute": {1: "", 2: "", 3: "", 4: "", 5: "tensor", 6: "graph", 7: "", 8: "", 9: "", 10: "tensor", 11: "graph", 13: "", 14: "", 15: "", 20: "", 21: "", 22: "sparse", 23: "sparse"},
	"tensor":    {1: "", 2: "", 3: "", 4: "", 5: "", 6: "", 7: "", 8: "", 9: "", 10: "", 11: "", 12: "", 13: "external", 14: "", 16: "metadata"},
	"sparse":    {1: "tensor", 2: "tensor", 3: ""},
	"function":  {1: "", 4: "", 5: "", 6: "", 7: "node", 8: "", 9: "opset", 10: "", 11: "attribute", 12: "value", 13: "", 14: "metadata"},
	"training":  {1: "graph", 2: "graph", 3: "metadata", 4: "metadata"},
	"value":     {1: "", 2: "", 3: "", 4: "metadata"},
	"opset":     {1: "", 2: ""},
	"metadata":  {1: "", 2: ""},
	"external":  {1: "", 2: ""},
}

// message walks a message and judges it.
func (w *walk) message(kind string, m wire.Message) error {
	fields := messages[kind]
	err := m.Fields(func(f wire.Field) error {
		inner, known := fields[f.Number]
		switch {
		case !known:
			w.tell("onnx-unknown", fmt.Sprintf("%s field %d", kind, f.Number), scan.Unknown, f.Offset, fmt.Sprintf("A %s has a field %d, which ONNX does not have: what a runtime makes of it is not known.", kind, f.Number), "Export the model anew.")
		case inner == "" || inner == "number":
		case f.Type != protowire.BytesType:
			return fmt.Errorf("%w at byte %d", wire.ErrDamaged, f.Offset)
		default:
			return w.message(inner, f.Body)
		}
		return nil
	})
	if err != nil {
		return err
	}
	switch kind {
	case "node":
		return w.node(m)
	case "tensor":
		return w.tensor(m)
	case "metadata":
		return w.metadata(m)
	}
	return nil
}

func (w *walk) node(m wire.Message) error {
	var op, domain string
	err := m.Fields(func(f wire.Field) (err error) {
		switch f.Number {
		case 4:
			op, err = f.Body.Text()
		case 7:
			domain, err = f.Body.Text()
		}
		return err
	})
	if err != nil || w.local[domain+"\x00"+op] {
		return err
	}
	if err := w.records(op, domain, m); err != nil {
		return err
	}
	switch {
	case strings.HasPrefix(op, "PyOp") || strings.HasPrefix(op, "PyCustomOp") || strings.HasPrefix(op, "PythonOp"):
		w.tell("onnx-operator", domain+"."+op, scan.High, m.Offset(), fmt.Sprintf("The operator %s of domain %q calls Python code of the program that loads the model, by a name that the model gives.", op, domain), "Do not load it; export the model with ONNX's own operators.")
	case own(domain) || (domain == "com.microsoft" || domain == "com.microsoft.nchwc") && op != "ATen" && op != "EPContext" && op != "SnpeEP":
	default:
		w.tell("onnx-domain", domain+"."+op, scan.Unknown, m.Offset(), fmt.Sprintf("The operator %s is of the domain %q: to run it, a library that is not in the file must be loaded.", op, domain), "Export the model with ONNX's own operators, or define it as a function in the model.")
	}
	return nil
}

// widths are the bits of one element (TensorProto.DataType); text has none.
var widths = map[uint64]uint64{1: 32, 2: 8, 3: 8, 4: 16, 5: 16, 6: 32, 7: 64, 9: 8, 10: 16, 11: 64, 12: 32, 13: 64, 14: 64, 15: 128, 16: 16, 17: 8, 18: 8, 19: 8, 20: 8, 21: 4, 22: 4, 23: 4, 24: 8, 25: 2, 26: 2}

const maxElements = 1 << 50

func (w *walk) tensor(m wire.Message) error {
	var name string
	var kind uint64
	elements, raw := uint64(1), int64(-1)
	possible, outside, sparse := true, false, false
	where := external{size: -1}
	dim := func(d uint64) {
		if d > maxElements || d > 0 && elements > maxElements/d {
			possible = false
			return
		}
		elements *= d
	}
	err := m.Fields(func(f wire.Field) (err error) {
		switch f.Number {
		case 1:
			if f.Type == protowire.VarintType {
				dim(f.Value)
				return nil
			}
			packed, err := f.Body.Text()
			for b := []byte(packed); err == nil && len(b) > 0; {
				v, n := protowire.ConsumeVarint(b)
				if n < 0 {
					return wire.ErrDamaged
				}
				dim(v)
				b = b[n:]
			}
			return err
		case 2:
			kind = f.Value
		case 3:
			sparse = true // a segment: its bytes are those of a part
		case 8:
			name, err = f.Body.Head(200)
		case 9:
			raw = f.Body.Len()
		case 13:
			outside = true
			return where.note(f.Body)
		}
		return err
	})
	if err != nil {
		return err
	}
	w.hold(name, elements)
	if outside {
		w.external(where, name, m.Offset(), needed(kind, elements, possible))
	}
	bits, known := widths[kind]
	switch {
	case !possible || known && raw >= 0 && !outside && !sparse && uint64(raw) != (elements*bits+7)/8:
		w.tell("onnx-tensor", name, scan.Medium, m.Offset(), fmt.Sprintf("Tensor %q has %d bytes, which is not what its shape needs: readers that believe the shape read or write beyond them.", name, max(raw, 0)), "Do not load it; get the file again from its source.")
	case !known && kind != 8 && kind != 0:
		w.tell("onnx-unknown", name, scan.Unknown, m.Offset(), fmt.Sprintf("Tensor %q is of type %d, which is not known.", name, kind), "Export the model with a known type.")
	}
	return nil
}

// needed is how many bytes a tensor has, -1 where that cannot be told.
func needed(kind, elements uint64, possible bool) int64 {
	bits, known := widths[kind]
	if !known || !possible || elements > maxElements {
		return -1
	}
	return int64((elements*bits + 7) / 8)
}

// external says where a tensor's content is read from.
type external struct {
	location     string
	offset, size int64
	damaged      bool
}

func (e *external) note(m wire.Message) error {
	key, value, err := pair(m)
	number := func() int64 {
		n, err := strconv.ParseInt(value, 10, 64)
		e.damaged = e.damaged || err != nil || n < 0
		return n
	}
	switch key {
	case "location":
		e.location = value
	case "offset":
		e.offset = number()
	case "length":
		e.size = number()
	}
	return err
}

// external judges where a tensor's content would be read from.
func (w *walk) external(e external, name string, offset, needs int64) {
	value := e.location
	clean := path.Clean(strings.ReplaceAll(value, `\`, "/"))
	switch {
	case path.IsAbs(clean) || clean == ".." || strings.HasPrefix(clean, "../") || len(clean) > 1 && clean[1] == ':' || strings.Contains(value, "://") || strings.ContainsRune(clean, 0):
		w.tell("onnx-external", value, scan.High, offset, fmt.Sprintf("A tensor's content is to be read from %q, outside the model's folder: loading the model reads files of the machine into it.", value), "Do not load it; export the model with its data beside it.")
	case e.damaged || needs >= 0 && e.size >= 0 && e.size != needs:
		w.tell("onnx-tensor", name, scan.Medium, offset, fmt.Sprintf("Tensor %q is to be read from %d bytes of %q at %d, which is not what its shape needs.", name, e.size, value, e.offset), "Do not load it; get the file again from its source.")
	case value != "":
		if e.size < 0 {
			e.size = needs
		}
		w.report.Refers(value, name, e.offset, e.size)
	}
}

func pair(m wire.Message) (key, value string, err error) {
	err = m.Fields(func(f wire.Field) (err error) {
		switch f.Number {
		case 1:
			key, err = f.Body.Text()
		case 2:
			value, err = f.Body.Head(wire.MaxText)
		}
		return err
	})
	return key, value, err
}

func (w *walk) metadata(m wire.Message) error {
	key, value, err := pair(m)
	for _, found := range secret.Findings("onnx", fmt.Sprintf("The value of %.200q", key), value) {
		w.tell(found.Rule, key, found.Severity, m.Offset(), found.Message, found.Remedy)
	}
	return err
}
