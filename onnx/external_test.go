//go:build unix

package onnx

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"google.golang.org/protobuf/proto"

	"assay/onnx/internal/pb"
)

// externalModel writes a model with one weight of four float32 that stands where
// the entries (key, value, key, value ...) say, and gives its path.
func externalModel(t *testing.T, dir string, entries ...string) string {
	t.Helper()
	w := &pb.Tensor{Name: "w", DataType: int32(Float32), Dims: []int64{4}, DataLocation: 1}
	for i := 0; i < len(entries); i += 2 {
		w.ExternalData = append(w.ExternalData, &pb.Entry{Key: entries[i], Value: entries[i+1]})
	}
	data, err := proto.Marshal(&pb.Model{IrVersion: 8, Graph: &pb.Graph{Initializer: []*pb.Tensor{w}},
		OpsetImport: []*pb.OperatorSet{{Version: 17}}})
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "model.onnx")
	write(t, path, data)
	return path
}

func write(t *testing.T, path string, data []byte) {
	t.Helper()
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestExternalDataStaysInTheFolder(t *testing.T) {
	outer := t.TempDir()
	dir := filepath.Join(outer, "model")
	if err := os.MkdirAll(filepath.Join(dir, "folder"), 0o700); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(outer, "secret"), make([]byte, 100))
	write(t, filepath.Join(dir, "short"), make([]byte, 15))
	write(t, filepath.Join(dir, "good"), asBytes([]float32{0, 0, 1, 2, 3, 4}))
	links := map[string]string{"link": "../secret", "absolute-link": filepath.Join(outer, "secret"), "up": "..", "loop": "loop", "inner-link": "good"}
	for name, target := range links {
		if err := os.Symlink(target, filepath.Join(dir, name)); err != nil {
			t.Skip(err)
		}
	}
	if err := syscall.Mkfifo(filepath.Join(dir, "pipe"), 0o600); err != nil {
		t.Skip(err)
	}
	tests := []struct {
		name    string
		entries []string
		want    string
	}{
		{"parent", []string{"location", "../secret"}, "leaves the model's folder"},
		{"parent further down", []string{"location", "folder/../../secret"}, "leaves the model's folder"},
		{"absolute", []string{"location", filepath.Join(outer, "secret")}, "leaves the model's folder"},
		{"device", []string{"location", "/dev/zero"}, "leaves the model's folder"},
		{"link out", []string{"location", "link"}, "path escapes"},
		{"absolute link out", []string{"location", "absolute-link"}, "path escapes"},
		{"through a link of a folder", []string{"location", "up/secret"}, "path escapes"},
		{"link to itself", []string{"location", "loop"}, "loop"},
		{"pipe", []string{"location", "pipe"}, "not a regular file"},
		{"folder", []string{"location", "folder"}, "not a regular file"},
		{"missing", []string{"location", "missing"}, "no such file"},
		{"no location", nil, "names no file"},
		{"short", []string{"location", "short"}, "only 15 bytes"},
		{"past the end", []string{"location", "good", "offset", "16"}, "ends at byte 32"},
		{"negative offset", []string{"location", "good", "offset", "-8"}, "offset -8"},
		{"overflowing offset", []string{"location", "good", "offset", "9223372036854775800"}, "offset 9223372036854775800"},
		{"offset beyond int64", []string{"location", "good", "offset", "9223372036854775808"}, "bad offset"},
		{"offset that is no number", []string{"location", "good", "offset", "x"}, "bad offset"},
		{"wrong length", []string{"location", "good", "length", "24"}, "wants 16 bytes"},
		{"negative length", []string{"location", "good", "length", "-1"}, "bad length"},
		{"NUL in the path", []string{"location", "go\x00od"}, "cannot be opened"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			_, err := Open(externalModel(t, dir, test.entries...))
			wantError(t, err, `initializer "w"`, test.want)
		})
	}
	for _, location := range []string{"good", "inner-link", "folder/../good"} {
		m, err := Open(externalModel(t, dir, "location", location, "offset", "8", "length", "16"))
		if err != nil {
			t.Fatal(err)
		}
		if got, err := View[float32](m.Graph.Initializers[0]); err != nil || fmt.Sprint(got) != "[1 2 3 4]" {
			t.Errorf("%s: read %v, %v", location, got, err)
		}
	}
}

func TestDecodeAloneRefusesExternalData(t *testing.T) {
	data, err := os.ReadFile(externalModel(t, t.TempDir(), "location", "good"))
	if err != nil {
		t.Fatal(err)
	}
	_, err = Decode(data)
	wantError(t, err, `initializer "w"`, "opened from its folder")
}

func TestOpenRefusesWhatIsNoFile(t *testing.T) {
	dir := t.TempDir()
	pipe := filepath.Join(dir, "pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Skip(err)
	}
	for path, want := range map[string]string{dir: "not a regular file", pipe: "not a regular file", filepath.Join(dir, "none"): "no such file"} {
		_, err := Open(path)
		wantError(t, err, want)
	}
}

// weighted is a model with weights of several types and sizes, one in a subgraph.
func weighted() *Model {
	b := NewBuilder("weighted")
	x := b.Input("x", Float32, 1000)
	big := make([]float32, 1000)
	for i := range big {
		big[i] = float32(i)
	}
	body := b.Body("branch")
	body.Output(body.Op("Add", nil, x, body.Weight(NewTensor("inner", big))), Float32, Fixed(1000))
	other := b.Body("other")
	other.OutputAs("same", x, Float32, Fixed(1000))
	y := b.Op("If", Attrs{"then_branch": body.Graph, "else_branch": other.Graph}, b.Weight(Scalar("yes", true)))
	y = b.Op("Mul", nil, y, b.Weight(NewTensor("big", big)))
	flags := make([]bool, 2001)
	flags[7] = true
	b.Output(b.Weight(NewTensor("flags", flags)), Bool, Fixed(2001))
	b.Output(y, Float32, Fixed(1000))
	b.Output(b.Weight(NewStringTensor("names", []string{strings.Repeat("n", 2000)})), String, Fixed(1))
	return b.Model()
}

func TestSaveExternal(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "net.onnx")
	m := weighted()
	for range 2 { // the second time over the first, from the files themselves
		if err := m.SaveExternal(path); err != nil {
			t.Fatal(err)
		}
		info, err := os.Stat(path)
		if err != nil || info.Size() > 4000 {
			t.Errorf("the model itself has %d bytes, %v", info.Size(), err)
		}
		if m, err = Open(path); err != nil {
			t.Fatal(err)
		}
		if err := m.Check(); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(encode(t, m), encode(t, weighted())) {
			t.Error("the model changed on its way through the files")
		}
	}
	if files, _ := filepath.Glob(filepath.Join(dir, "*")); len(files) != 2 {
		t.Errorf("the folder has %v", files)
	}
	if hidden, _ := filepath.Glob(filepath.Join(dir, ".*")); len(hidden) != 0 {
		t.Errorf("left behind: %v", hidden)
	}

	single := filepath.Join(dir, "single.onnx") // streamed from the external file, unread so far
	m, _ = Open(path)
	if err := m.Save(single); err != nil {
		t.Fatal(err)
	}
	if data, _ := os.ReadFile(single); !bytes.Equal(data, encode(t, weighted())) {
		t.Error("the model changed on its way into one file")
	}
}

func TestSaveLeavesAnOldFileWhereItFails(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "net.onnx")
	if err := weighted().SaveExternal(path); err != nil {
		t.Fatal(err)
	}
	m, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	before, _ := os.ReadFile(path)
	files, _ := filepath.Glob(filepath.Join(dir, "*.data"))
	if err := os.Truncate(files[0], 100); err != nil { // after it was opened
		t.Fatal(err)
	}
	wantError(t, m.Save(path), "only 100 bytes")
	wantError(t, m.SaveExternal(path), "only 100 bytes")
	if after, _ := os.ReadFile(path); !bytes.Equal(before, after) {
		t.Error("a failed save changed the file")
	}
	if left, _ := filepath.Glob(filepath.Join(dir, ".*")); len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}
}

func TestModelsOver2GBAreToBeSavedWithExternalData(t *testing.T) {
	dir := t.TempDir()
	const size = 3 << 30
	path := filepath.Join(dir, "zeros")
	write(t, path, nil)
	if err := os.Truncate(path, size); err != nil { // takes no room on disk
		t.Skip(err)
	}
	b := NewBuilder("huge")
	b.Output(b.Weight(&Tensor{Name: "w", Type: Uint8, Shape: []int64{size},
		external: &external{files: &externalFiles{dir: dir}, path: "zeros", length: size}}), Uint8, Fixed(size))
	_, err := b.Model().Encode()
	wantError(t, err, "2 GB", "SaveExternal")
	wantError(t, b.Model().Save(filepath.Join(dir, "model.onnx")), "2 GB", "SaveExternal")
}
