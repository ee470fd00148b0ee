// Package realdata gives tests and benchmarks the real data and models that are
// too large for the repository. It stands in the folder that ASSAY_DATA names, or
// in shared/data beside the checkout; where it is absent, the test skips and says so.
package realdata

import (
	"archive/tar"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// ErrAbsent says that the real data is not on this machine.
var ErrAbsent = errors.New("the real data is not here")

// Find gives the path of a file or folder of the real data, or an error where it is absent.
func Find(name string) (string, error) {
	dir := os.Getenv("ASSAY_DATA")
	if dir == "" {
		_, self, _, _ := runtime.Caller(0)
		dir = filepath.Join(filepath.Dir(self), "..", "..", "..", "shared", "data")
	}
	p := filepath.Join(dir, filepath.FromSlash(name))
	if _, err := os.Stat(p); err != nil {
		return "", fmt.Errorf("%w: %s (set ASSAY_DATA to its folder)", ErrAbsent, name)
	}
	return p, nil
}

// Path gives the path of a file or folder of the real data, or skips the test.
func Path(t testing.TB, name string) string {
	t.Helper()
	p, err := Find(name)
	if err != nil {
		t.Skip(err)
	}
	return p
}

// Case is one of ONNX's own backend test cases: a model, and sets of inputs with
// the outputs they must give, each a TensorProto, SequenceProto or OptionalProto.
type Case struct {
	Group string // node, simple, pytorch-operator, pytorch-converted
	Name  string
	Model []byte
	Sets  []Set
}

// Set is one set of inputs and outputs of a Case, in the model's order.
type Set struct{ Inputs, Outputs [][]byte }

// Conformance gives ONNX's backend test cases, sorted by group and name, or skips the test.
func Conformance(t testing.TB) []Case {
	t.Helper()
	cases, err := unpack(Path(t, "onnx-conformance.tar.gz"))
	if err != nil {
		t.Fatal(err)
	}
	if len(cases) < 1000 {
		t.Fatalf("found %d of ONNX's backend cases, expected more than 1000", len(cases))
	}
	return cases
}

func unpack(file string) ([]Case, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	zr, err := gzip.NewReader(f)
	if err != nil {
		return nil, err
	}
	files := map[string]map[string][]byte{} // by folder of the case, then by path in it
	for tr := tar.NewReader(zr); ; {
		h, err := tr.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			return nil, err
		}
		parts := strings.SplitN(h.Name, "/", 4) // root, group, name, path
		if len(parts) < 4 || h.Typeflag != tar.TypeReg {
			continue
		}
		content, err := io.ReadAll(tr)
		if err != nil {
			return nil, err
		}
		dir := path.Join(parts[1], parts[2])
		if files[dir] == nil {
			files[dir] = map[string][]byte{}
		}
		files[dir][parts[3]] = content
	}
	var cases []Case
	for dir, content := range files {
		if model := content["model.onnx"]; model != nil {
			cases = append(cases, Case{Group: path.Dir(dir), Name: path.Base(dir), Model: model, Sets: sets(content)})
		}
	}
	slices.SortFunc(cases, func(a, b Case) int {
		return strings.Compare(a.Group+"/"+a.Name, b.Group+"/"+b.Name)
	})
	return cases, nil
}

func sets(content map[string][]byte) []Set {
	var out []Set
	for i := 0; ; i++ {
		prefix := "test_data_set_" + strconv.Itoa(i) + "/"
		s := Set{Inputs: numbered(content, prefix+"input_"), Outputs: numbered(content, prefix+"output_")}
		if s.Outputs == nil {
			return out
		}
		out = append(out, s)
	}
}

func numbered(content map[string][]byte, prefix string) [][]byte {
	var out [][]byte
	for i := 0; ; i++ {
		data, ok := content[prefix+strconv.Itoa(i)+".pb"]
		if !ok {
			return out
		}
		out = append(out, data)
	}
}
