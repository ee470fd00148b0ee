// Command quantise puts a layer before a model that rounds its input to multiples of a step:
//
//	quantise IN.onnx OUT.onnx STEP
//
// Reducing the depth of colours was proposed as a defence (Xu et al. 2018, arXiv:1704.01155, section 2).
// Rounding has no gradient, so an attack that follows gradients finds nothing, and nothing has been
// shown by that (Athalye et al. 2018, arXiv:1802.00420). The examples have such a model so that one
// can see what becomes of it.
package main

import (
	"fmt"
	"os"
	"slices"
	"strconv"

	"assay/onnx"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "quantise:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) != 3 {
		return fmt.Errorf("usage: quantise IN.onnx OUT.onnx STEP")
	}
	step, err := strconv.ParseFloat(args[2], 32)
	if err != nil || !(step > 0) {
		return fmt.Errorf("the step %s is no number above 0", args[2])
	}
	m, err := onnx.Open(args[0])
	if err != nil {
		return err
	}
	if err := quantise(m, step); err != nil {
		return fmt.Errorf("%s: %w", args[0], err)
	}
	return m.Save(args[1])
}

// quantise makes every node that reads the input read the rounded one.
func quantise(m *onnx.Model, step float64) error {
	free := m.Graph.FreeInputs()
	if len(free) != 1 || free[0].Type.Elem != onnx.Float32 {
		return fmt.Errorf("the model takes %v, and one input of float32 is needed", free)
	}
	input := free[0].Name
	readers := slices.Clone(m.Graph.Nodes)
	b := onnx.Extend(m.Graph)
	size := b.Number(onnx.Float32, step)
	rounded := b.Op("Mul", nil, b.Op("Round", nil, b.Op("Div", nil, input, size)), size)
	for _, n := range readers {
		for i, name := range n.Inputs {
			if name == input {
				n.Inputs[i] = rounded
			}
		}
	}
	return m.Sort()
}
