package onnx

import (
	"fmt"
	"maps"
	"slices"

	"assay/internal/scan"
	"assay/internal/scan/wire"
)

// maxTables bounds the names of tensors that are remembered.
const maxTables = 10_000

// tables is what is known of tensors that rows are compared with.
type tables struct {
	held     map[string]uint64   // how many numbers tensors of the file have, by name
	compares map[string][]string // what the nodes that give distances compare, by the node's first output
}

func (w *walk) hold(name string, elements uint64) {
	if w.held == nil {
		w.held = map[string]uint64{}
	}
	if name != "" && elements > 1 && len(w.held) < maxTables {
		w.held[name] = elements
	}
}

const recordsRemedy = "Pass the model on only to those who may see these records, or use one that keeps none, such as a linear one or trees."

// records judges whether a node has records in it: support vectors, of a support vector machine, are records as they were. Of
// distances, it is noted between what they are.
func (w *walk) records(op, domain string, m wire.Message) error {
	machine := domain == "ai.onnx.ml" && (op == "SVMClassifier" || op == "SVMRegressor")
	distance := domain == "com.microsoft" && op == "CDist"
	if !machine && !distance {
		return nil
	}
	var inputs []string
	output := ""
	err := m.Fields(func(f wire.Field) error {
		var text string
		var err error
		switch f.Number {
		case 1:
			if text, err = f.Body.Head(200); err == nil {
				inputs = append(inputs[:min(len(inputs), 1)], text)
			}
		case 2:
			output, err = f.Body.Head(200)
		case 5:
			if machine {
				return w.vectors(op, f.Body)
			}
		}
		return err
	})
	if distance && len(w.compares) < maxTables {
		if w.compares == nil {
			w.compares = map[string][]string{}
		}
		w.compares[output] = inputs
	}
	return err
}

// vectors looks at an attribute of a support vector machine.
func (w *walk) vectors(op string, m wire.Message) error {
	name, content := "", int64(0)
	err := m.Fields(func(f wire.Field) (err error) {
		switch f.Number {
		case 1:
			name, err = f.Body.Head(200)
		case 7:
			content += f.Body.Len() + 1 // packed, or a number each
		}
		return err
	})
	if err == nil && name == "support_vectors" && content > 1 {
		w.tell("onnx-records", op, scan.Low, m.Offset(), fmt.Sprintf("The %s keeps support vectors, which are records that it was trained on, as they were: whoever has the file can read them.", op), recordsRemedy)
	}
	return err
}

// compared judges distances, at the end, when all tensors are known: those to a table in the file are to stored records, as of
// nearest neighbours and Gaussian processes.
func (w *walk) compared() {
	for _, output := range slices.Sorted(maps.Keys(w.compares)) {
		for _, name := range w.compares[output] {
			if n := w.held[name]; n > 0 {
				w.tell("onnx-records", name, scan.Low, 0, fmt.Sprintf("The model compares its input with the %d numbers of %q by their distance (%q), as nearest neighbours and Gaussian processes do with records that they were trained on.", n, name, output), recordsRemedy)
			}
		}
	}
}
