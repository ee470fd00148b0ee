package autodiff_test

import (
	"context"
	"fmt"
	"log"
	"os"
	"strings"
	"testing"

	"assay/internal/model/ort"
	"assay/onnx"
	"assay/onnx/autodiff"
)

// The model is softmax regression on two features: its logits are input·W, W being
// [1 -1; 0 1]. README.md shows this example; TestReadme keeps the two the same.
func ExampleGraph_Gradient() {
	check := func(err error) {
		if err != nil {
			log.Fatal(err)
		}
	}
	// begin
	model, err := onnx.Open("testdata/two_classes.onnx")
	check(err)
	graph, err := autodiff.New(model)
	check(err)
	labels := graph.Input("labels", onnx.Int64, "batch")
	loss, err := graph.Loss(autodiff.CrossEntropy, "logits", labels)
	check(err)
	gradients, err := graph.Gradient(loss, "input")
	check(err)
	graph.OutputAs("gradient", gradients.Names[0], onnx.Float32, onnx.Dims("batch", 2))

	session, err := ort.New(graph.Model(), ort.Options{})
	check(err)
	defer session.Close()
	inputs := []*ort.Tensor{ort.NewTensor([]float32{1, 2}, 1, 2), ort.NewTensor([]int64{0})}
	outputs := make([]*ort.Tensor, 2) // the model's logits, and what was added
	check(session.Run(context.Background(), inputs, outputs))
	fmt.Println(ort.Data[float32](outputs[0]), ort.Data[float32](outputs[1]))
	// end

	// Output: [1 1] [-1 0.5]
}

func TestReadme(t *testing.T) {
	source, err := os.ReadFile("example_test.go")
	if err != nil {
		t.Fatal(err)
	}
	_, shown, _ := strings.Cut(string(source), "\t// begin\n")
	shown, _, found := strings.Cut(shown, "\t// end\n")
	if !found {
		t.Fatal("the example has lost its marks")
	}
	readme, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	shown = strings.ReplaceAll("\n"+shown, "\n\t", "\n")
	if !strings.Contains(string(readme), "```go"+shown+"```") {
		t.Errorf("README.md does not show the example as it stands:\n%s", shown)
	}
}
