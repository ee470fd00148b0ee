// Package tensorflow scans TensorFlow's SavedModels and graphs: each operator that a graph
// or one of its functions calls is known to compute and no more, or is told.
package tensorflow

import (
	"bytes"
	"context"
	"fmt"
	"regexp"

	"google.golang.org/protobuf/encoding/protowire"

	"assay/internal/scan"
	"assay/internal/scan/wire"
)

// Scanner scans saved_model.pb and frozen graphs (saved_model.proto, graph.proto).
type Scanner struct{}

// Describe names the format and its rules.
func (Scanner) Describe() scan.Description {
	return scan.Description{Name: "tensorflow", Title: "TensorFlow SavedModel or graph", Rules: []scan.Rule{
		{ID: "tensorflow-operator", Title: "An operator runs code, or reaches files or the network"},
		{ID: "tensorflow-path", Title: "A file whose path is in the model is read or written"},
		{ID: "tensorflow-unknown", Title: "An operator or field is not known"},
	}}
}

var identifier = regexp.MustCompile(`^[A-Za-z0-9_./\\>:-]{1,400}$`)

// Match reports a SavedModel (its version and a meta graph) or a graph whose first node
// has a name and an operator.
func (Scanner) Match(p scan.Probe) bool { return kindOf(p.Head) != "" }

func kindOf(h []byte) string {
	if len(h) > 4 && h[0] == 0x08 && h[1] == 0x01 && h[2] == 0x12 {
		_, n := protowire.ConsumeVarint(h[3:])
		if n > 0 && len(h) > 3+n && (h[3+n] == 0x0a || h[3+n] == 0x12) && !input(h[3+n:]) {
			return "saved model"
		}
	}
	if len(h) > 4 && h[0] == 0x0a {
		_, n := protowire.ConsumeVarint(h[1:])
		if n < 0 || 1+n >= len(h) {
			return ""
		}
		rest := h[1+n:]
		for _, tag := range []byte{0x0a, 0x12} {
			if rest[0] != tag {
				return ""
			}
			text, used := protowire.ConsumeBytes(rest[1:])
			if used < 0 || !identifier.Match(text) || 1+used >= len(rest) {
				return ""
			}
			rest = rest[1+used:]
		}
		return "graph"
	}
	return ""
}

// input reports whether a message begins with the description of an input, a name and a
// type: then it is a model of Core ML, which also begins with its version.
func input(b []byte) bool {
	if b[0] != 0x0a {
		return false
	}
	_, n := protowire.ConsumeVarint(b[1:])
	if n < 0 || 1+n >= len(b) || b[1+n] != 0x0a {
		return false
	}
	text, used := protowire.ConsumeBytes(b[2+n:])
	rest := b[2+n+max(used, 0):]
	if used > 0 && len(rest) > 0 && rest[0] == 0x12 {
		words, used := protowire.ConsumeBytes(rest[1:])
		if used < 0 || bytes.IndexByte(words, 0x0a) >= 0 {
			return false
		}
		rest = rest[1+used:]
	}
	return used > 0 && len(text) > 0 && len(rest) > 0 && rest[0] == 0x1a
}

// Scan walks the graphs and their functions.
func (Scanner) Scan(ctx context.Context, f *scan.File, r *scan.Report) error {
	r.AccountsForAll()
	at, size, err := f.Random(ctx)
	if err != nil {
		return err
	}
	m := wire.Open(at, size)
	head, err := m.Head(scan.HeadBytes)
	if err != nil {
		return err
	}
	w := &walk{file: f, report: r}
	return w.message(kindOf([]byte(head)), m)
}

type walk struct {
	file   *scan.File
	report *scan.Report
}

func (w *walk) tell(rule, subject string, severity scan.Severity, offset int64, message, remedy string) {
	w.report.AddOnce(scan.Finding{Rule: rule, Severity: severity, Place: w.file.Place(offset, subject), Message: message, Remedy: remedy})
}

// messages are the fields of each message: the message that a field is, "" for what is not
// looked into.
var messages = map[string]map[int]string{
	"saved model": {1: "", 2: "meta graph"},
	"meta graph":  {1: "", 2: "graph", 3: "", 4: "", 5: "", 6: "", 7: ""},
	"graph":       {1: "node", 2: "library", 3: "", 4: "", 5: ""},
	"library":     {1: "function", 2: "", 3: ""},
	"function":    {1: "", 3: "node", 4: "", 5: "", 6: "", 7: "", 8: ""},
}

// message walks a message; the nodes of a graph or function are judged together, since
// what a file's name is comes from others.
func (w *walk) message(kind string, m wire.Message) error {
	fields := messages[kind]
	nodes := map[string]node{}
	err := m.Fields(func(f wire.Field) error {
		inner, known := fields[f.Number]
		switch {
		case !known:
			w.tell("tensorflow-unknown", fmt.Sprintf("%s field %d", kind, f.Number), scan.Unknown, f.Offset, fmt.Sprintf("A %s has a field %d, which TensorFlow does not have.", kind, f.Number), "Export the model anew.")
		case inner == "":
		case f.Type != protowire.BytesType:
			return fmt.Errorf("%w at byte %d", wire.ErrDamaged, f.Offset)
		case inner == "node":
			return w.node(f.Body, nodes)
		default:
			return w.message(inner, f.Body)
		}
		return nil
	})
	if err == nil {
		w.paths(nodes)
	}
	return err
}

// node is what is kept of one while its graph is read.
type node struct {
	op     string
	input  string // the first: of those that read or write files, the path
	text   string // of a constant
	offset int64
}

const maxNodes = 200_000 // of one graph that are kept, those for texts and files only

// keeps are the operators that make or take a file's path.
var keeps = set("Const Identity StringJoin ShardedFilename Placeholder PlaceholderWithDefault Select SelectV2 MergeV2Checkpoints Pack ConcatV2 ExpandDims Reshape Squeeze " +
	"Save SaveV2 SaveSlices Restore RestoreV2 RestoreSlice InitializeTableFromTextFile InitializeTableFromTextFileV2")

// takers are those that take one.
var takers = set("Save SaveV2 SaveSlices Restore RestoreV2 RestoreSlice MergeV2Checkpoints InitializeTableFromTextFile InitializeTableFromTextFileV2")

func (w *walk) node(m wire.Message, nodes map[string]node) error {
	n, name := node{offset: m.Offset()}, ""
	err := m.Fields(func(f wire.Field) (err error) {
		switch f.Number {
		case 1:
			name, err = f.Body.Text()
		case 2:
			n.op, err = f.Body.Text()
		case 3:
			if n.input == "" {
				n.input, err = f.Body.Text()
			}
		case 5:
			var text string
			if text, err = constant(f.Body); text != "" {
				n.text = text
			}
		case 4, 6, 7:
		default:
			w.tell("tensorflow-unknown", fmt.Sprintf("node field %d", f.Number), scan.Unknown, f.Offset, fmt.Sprintf("A node has a field %d, which TensorFlow does not have.", f.Number), "Export the model anew.")
		}
		return err
	})
	if err != nil {
		return err
	}
	w.operator(name, n)
	if keeps[n.op] && (n.op != "Const" || n.text != "") {
		if len(nodes) >= maxNodes {
			return fmt.Errorf("it has more than %d nodes for texts and files", maxNodes)
		}
		nodes[name] = n
	}
	return nil
}

// constant gives the first text of an attribute whose value is a tensor of them:
// AttrValue.tensor is field 8, TensorProto.string_val is field 8 too.
func constant(attr wire.Message) (text string, err error) {
	err = attr.Fields(func(f wire.Field) error {
		if f.Number != 2 || f.Type != protowire.BytesType {
			return nil
		}
		return f.Body.Fields(func(v wire.Field) error {
			if v.Number != 8 || v.Type != protowire.BytesType {
				return nil
			}
			return v.Body.Fields(func(t wire.Field) (err error) {
				if t.Number == 8 && t.Type == protowire.BytesType && text == "" {
					text, err = t.Body.Head(1 << 10)
				}
				return err
			})
		})
	})
	return text, err
}

// operator judges an operator by its name.
func (w *walk) operator(name string, n node) {
	switch {
	case harmful[n.op] != "":
		w.tell("tensorflow-operator", n.op, scan.High, n.offset, fmt.Sprintf("The node %q calls %s, which %s.", name, n.op, harmful[n.op]), "Do not run it; export the model without this operator.")
	case n.op == "" || !harmless[n.op] && !keeps[n.op]:
		w.tell("tensorflow-unknown", n.op, scan.Unknown, n.offset, fmt.Sprintf("The node %q calls %s, an operator that is not known to be harmless.", name, n.op), "Export the model with TensorFlow's own operators, or to ONNX.")
	}
}

var absolute = regexp.MustCompile(`^(/|\\|[A-Za-z]:|[a-z0-9]+://|~)|\.\.`)

// paths judges what files are read or written: a path that is in the model itself is not
// the caller's choice, as that of a checkpoint is.
func (w *walk) paths(nodes map[string]node) {
	for name, n := range nodes {
		if !takers[n.op] {
			continue
		}
		input := n.input
		if n.op == "InitializeTableFromTextFile" || n.op == "InitializeTableFromTextFileV2" {
			continue // its path is the second input, of the model's own assets
		}
		for range 20 {
			from, kept := nodes[base(input)]
			if !kept {
				break // an argument, or made by something else that is judged by itself
			}
			if from.op == "Const" {
				w.tell("tensorflow-path", name, scan.High, n.offset, fmt.Sprintf("The node %q (%s) reads or writes the file %q, which the model chose.", name, n.op, from.text), "Do not run it; export the model anew.")
				break
			}
			input = from.input
		}
	}
	for name, n := range nodes {
		if n.op == "Const" && absolute.MatchString(n.text) && len(n.text) < 300 && w.usesFiles(nodes) {
			w.tell("tensorflow-path", name, scan.High, n.offset, fmt.Sprintf("The constant %q is the path %q, in a graph that reads or writes files.", name, n.text), "Do not run it; export the model anew.")
		}
	}
}

func (w *walk) usesFiles(nodes map[string]node) bool {
	for _, n := range nodes {
		if takers[n.op] {
			return true
		}
	}
	return false
}

// base is the name of the node that an input comes from.
func base(input string) string {
	for i, c := range input {
		if c == ':' {
			return input[:i]
		}
		if i == 0 && c == '^' {
			return ""
		}
	}
	return input
}
