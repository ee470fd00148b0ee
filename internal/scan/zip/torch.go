package zip

import (
	"context"
	"fmt"
	"io"
	"regexp"
	"strings"

	"assay/internal/scan"
)

// torchRoot says whether a folder of an archive is laid out as torch.save and
// torch.jit.save do (caffe2/serialize/inline_container.h): a pickle, and each tensor's
// content in a numbered file.
type torchRoot struct{ pickle bool }

func (a *archive) torchRoots() map[string]torchRoot {
	roots := map[string]torchRoot{}
	for _, e := range a.list {
		if root, name, ok := strings.Cut(e.name, "/"); ok && (name == "data.pkl" || name == "constants.pkl") {
			roots[root] = torchRoot{pickle: true}
		}
	}
	return roots
}

var (
	storageName = regexp.MustCompile(`^(data|constants|\.data)/[0-9]+$`)
	codeName    = regexp.MustCompile(`^code/.+\.py$`)
)

// kind is what a file under the folder is to PyTorch: storage, code, or nothing special.
func (t torchRoot) kind(name string) string {
	switch {
	case !t.pickle:
	case storageName.MatchString(name):
		return "storage"
	case codeName.MatchString(name):
		return "code"
	}
	return ""
}

const maxScript = 16 << 20

// TorchScript is a language without access to Python: what it can do is what its
// operators do. Those below read or write files or load libraries; namespaces other than
// these belong to extensions, whose operators can do anything.
var (
	operatorCall = regexp.MustCompile(`\b(?:torch|ops)((?:\.[A-Za-z_]\w*)+)`)
	scriptClass  = regexp.MustCompile(`__torch__\.torch\.classes\.([\w.]+)`)
	fileOperator = regexp.MustCompile(`(^|\.)(from_file|save|load|read_file|write_file|save_to_file|load_library|_load_from_file)(_out)?$`)
	namespaces   = map[string]bool{"aten": true, "prim": true, "quantized": true, "torchvision": true, "_quantized": true}
)

// script judges TorchScript code by the operators it calls.
func (a *archive) script(ctx context.Context, f *scan.File, e *entry) error {
	r, err := f.Reader(ctx)
	if err != nil {
		return err
	}
	defer r.Close()
	code, err := io.ReadAll(io.LimitReader(r, maxScript+1))
	if err != nil || len(code) > maxScript {
		a.unreadable(e.header, e.name, "The code %q could not be read in full (%v).", e.name, err)
		return ctx.Err()
	}
	for _, m := range operatorCall.FindAllSubmatchIndex(code, -1) {
		name := string(code[m[2]+1 : m[3]])
		place := f.Place(int64(m[0]), name)
		if fileOperator.MatchString(name) {
			a.report.Add(scan.Finding{Rule: "torchscript-operator", Severity: scan.High, Place: place,
				Message: fmt.Sprintf("TorchScript calls %s, which reaches files of the machine when the model runs.", name),
				Remedy:  "Do not run it; have the model exported without this call."})
			continue
		}
		if space, _, two := strings.Cut(name, "."); strings.HasPrefix(string(code[m[0]:]), "ops.") && two && !namespaces[space] {
			a.report.Undecided("torchscript-operator", place, fmt.Sprintf("TorchScript calls %s, an operator of an extension that is not known.", name), "Export the model with PyTorch's own operators only, or to ONNX.")
		}
	}
	if m := scriptClass.FindSubmatchIndex(code); m != nil {
		a.report.Undecided("torchscript-operator", f.Place(int64(m[0]), ""), fmt.Sprintf("TorchScript uses the class %s of an extension, whose code is not in the file.", code[m[2]:m[3]]), "Export the model without it, or to ONNX.")
	}
	return nil
}
