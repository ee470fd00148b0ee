package system

import (
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"assay"
	"assay/internal/dataset"
	"assay/internal/model"
	"assay/internal/strict"
)

// TestOpen reads the complete description.
func TestOpen(t *testing.T) {
	s, err := Open(complete)
	if err != nil {
		t.Fatal(err)
	}
	if s.About.Risk != assay.High || s.Data[1].Role != Reference || s.Data[2].Role != Training || s.Solutions[1].Kind != assay.Organizational || s.Seed != 7 {
		t.Errorf("got %+v", s)
	}
	if s.Data[2].Schema.Own == nil || s.Data[2].Schema.Own.Features[0].Name != "radius" {
		t.Errorf("the schema file was not read: %+v", s.Data[2].Schema)
	}
	o := s.Models[0].Override()
	want := model.Override{Shape: []int64{4}, Layout: model.Tabular, Range: &model.Range{High: 100.5, Basis: o.Range.Basis},
		Classes: []string{"benign", "malignant"}, Output: model.Logits, Scores: "logits"}
	if !reflect.DeepEqual(o, want) {
		t.Errorf("the override is %+v", o)
	}
	folder := filepath.Dir(complete)
	if o := s.Options(&s.Data[1]); o.LabelFile != filepath.Join(folder, "labels.idx") {
		t.Errorf("the options are %+v", o)
	}
	c := s.Config(&s.Endpoints[1])
	if c.Auth.File != filepath.Join(folder, "key.txt") || s.Endpoints[1].Auth.File != "key.txt" {
		t.Errorf("the key's file is %s", c.Auth.File)
	}
	if e := s.Exclusions[0]; e.Date.String() != "2026-11-01" || !e.Date.Equal(time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)) {
		t.Errorf("the date is %v", e.Date)
	}
	var files []string
	for _, f := range s.Files() {
		files = append(files, f.Role+"="+f.Path)
		if f.Outside() || s.Where(f.At).Line == 0 {
			t.Errorf("%+v is at %v", f, s.Where(f.At))
		}
	}
	if got := strings.Join(files, " "); got != "model undefended=models/undefended.onnx signature of model undefended=models/hardened.sig key of model undefended=signer.pem model hardened=models/hardened.onnx signature of model hardened=models/hardened.sig roots of model hardened=authorities.pem authorities of gateway=authorities.pem "+
		"data test=test.csv signature of data test=test.csv.sig key of data test=signer.pem data scans=scans.idx labels of scans=labels.idx signature of data scans=test.csv.sig roots of data scans=authorities.pem data trained-on=train.csv schema of trained-on=schema.yaml record trainings-2026=trainings.pdf catalogue=own-catalogue.yaml" {
		t.Errorf("the files are %s", got)
	}
	cases := s.Cases()
	if len(cases) != 1 || cases[0].Goal.Goal != "evasion-prevent" || cases[0].Solution.Name != "adversarial-training" ||
		cases[0].Model.Name != "hardened" || cases[0].Without.At != "models[0]" || cases[0].Data.At != "data[0]" {
		t.Errorf("the cases are %+v", cases)
	}
	if s.Endpoint(&s.Models[0]) != nil || s.Endpoint(&s.Models[2]).Name != "gateway" {
		t.Error("the endpoints are wrong")
	}
	later := s.Mistake("models[1].file", "takes 30 numbers, and the data have 4")
	if want := complete + ":45:11: models[1].file: takes 30 numbers, and the data have 4"; later.Error() != want || assay.CodeOf(later) != assay.CodeInput {
		t.Errorf("got %v, want %s", later, want)
	}
}

// small is a description that is right; parts of it are replaced.
const small = `version: 1
system: {name: S, stage: operation, modality: tabular, risk: low}
models:
  - {name: plain, file: a.onnx}
  - {name: hard, file: b.onnx}
data:
  - {name: test, file: d.csv}
solutions:
  - {name: training, cells: [evasion/prevent], model: hard, without: plain}
goals:
  - {goal: evasion-prevent, solution: training, data: test}
`

func folder(t testing.TB) string {
	t.Helper()
	dir := t.TempDir()
	for _, name := range []string{"a.onnx", "b.onnx", "d.csv", "e.csv"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// TestContradictions replaces a part of a description that is right, and tells what is
// then to be said.
func TestContradictions(t *testing.T) {
	dir := folder(t)
	outside := filepath.Join(t.TempDir(), "outside.csv")
	if err := os.WriteFile(outside, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(outside, filepath.Join(dir, "link.csv")); err != nil {
		t.Skip(err)
	}
	for _, c := range []struct{ from, to, want string }{
		{"", "", ""},
		{"file: d.csv", "file: " + outside, ""},
		{"file: d.csv", "file: ../outside.csv", `7:24: data[0].file: "../outside.csv" cannot be used: it leads out of the folder of this description: write the absolute path if that is meant`},
		{"file: d.csv", "file: link.csv", `7:24: data[0].file: "link.csv" cannot be used: it leads out of the folder of this description: write the absolute path if that is meant`},
		{"file: d.csv", "file: dd.csv", `7:24: data[0].file: "dd.csv" is not there: did you mean "d.csv"?`},
		{"file: d.csv", "file: d.csv/more", `7:24: data[0].file: "d.csv/more" cannot be used`},
		{"file: a.onnx", "file: .", `4:25: models[0].file: "." is a folder where a file must be`},
		{"name: hard,", "name: plain,", `5:12: models[1].name: "plain" is there already, in line 4: give each its own name, or leave one out`},
		{"without: plain", "without: plian", `9:70: solutions[0].without: "plian" is no model of this file: did you mean plain? There are hard, plain`},
		{"without: plain", "without: hard", `9:70: solutions[0].without: is the model with the solution as well`},
		{"model: hard, without: plain", "without: plain", `9:57: solutions[0].without: is the model without the solution, and model, the one with it, is missing`},
		{", model: hard, without: plain", "", `11:39: goals[0].solution: "training" names no model, so there is nothing to test`},
		{", data: test", "", `11:5: goals[0].data: is missing: name the data that the solution is tested on`},
		{"name: training,", "name: training, kind: organizational,", `9:77: solutions[0].model: is the model with the solution, and an organizational solution has none`},
		{"[evasion/prevent]", "[evasion/prevent, evasion/prevent]", `9:47: solutions[0].cells[1]: evasion/prevent is there twice`},
		{"[evasion/prevent]", "[evasion/prevnt]", `9:30: solutions[0].cells[0]: "evasion/prevnt" is none of the known names: did you mean evasion/prevent?`},
		{"file: d.csv", "file: d.csv, role: training", `11:55: goals[0].data: "test" is what models are trained on: test on data that no model was made from`},
		{"solutions:", "  - {name: more, file: d.csv, role: training}\nsolutions:", `7:24: data[0].file: is training data as well, in line 8`},
		{"data: test", "data: test, criterion: {limit: 0.1}", `11:5: goals[0].reason: is missing: say why`},
		{"data: test", "data: test, reason: r, attacker: {norm: L2}", `11:82: goals[0].attacker: changes the norm or unit that eps is in: state eps as well`},
		{"data: test", "data: test, reason: r, attacker: {norm: Linf, eps: 1.5, unit: range}", `goals[0].attacker.eps: is 1.5, and a share of a feature's range is at most 1`},
		{"data: test", "data: test, reason: r, attacker: {norm: L0, eps: 0.5, unit: range}", `goals[0].attacker.eps: is 0.5, and in L0 it is how many features`},
		{"data: test", "data: test, reason: r, criterion: {sampling: {rule: census, n: 3}}", `is a census, which takes every unit there is`},
		{"data: test", "data: test, reason: r, criterion: {costs: [{metric: m, relation: at-most, limit: 1}, {metric: m, relation: at-most, limit: 2}]}", `goals[0].criterion.costs[1].metric: "m" is there already`},
		{"data: test}\n", "data: test}\n  - {goal: evasion-prevent, solution: training, data: test}\n", `12:12: goals[1].goal: "evasion-prevent for training on test" is there already, in line 11`},
		{"goals:", "exclusions:\n  - {cell: evasion/prevent, reason: r, approved-by: b, date: 2026-01-31}\ngoals:", `11:12: exclusions[0].cell: evasion/prevent is left out, and the solution training covers it`},
		{"goals:", "exclusions:\n  - {cell: evasion/detect, reason: r, approved-by: b, date: 2026-02-30}\ngoals:", `11:61: exclusions[0].date: "2026-02-30" is no day of the calendar`},
		{"file: a.onnx", "file: a.onnx, layout: NCHW", `4:41: models[0].layout: is NCHW, which is that of images, and the system's modality is tabular`},
		{"file: a.onnx", "file: a.onnx, layout: tabular, shape: [2, 3]", `4:41: models[0].layout: is tabular, which is that of shapes of one size`},
		{"file: a.onnx", "file: a.onnx, shape: [100000, 100000]", `models[0].shape: is more than 268435456 values`},
		{"file: a.onnx", "file: a.onnx, classes: [one]", `models[0].classes: is one class, and a classifier has two or more`},
		{"file: a.onnx", "file: a.onnx, classes: [one, one]", `models[0].classes[1]: "one" is there twice`},
		{"file: a.onnx", "file: a.onnx, endpoint: e", `4:43: models[0].endpoint: "e" is no endpoint of this file, which has none`},
		{"file: d.csv", "file: d.csv, label: a, labels: e.csv", `data[0].labels: is a file of labels, and label names a column with them: leave one out`},
		{"file: d.csv", "file: d.csv, label: a, schema: {label: {name: b}}", `data[0].label: is "a", and the schema has the label "b": leave one out`},
		{"file: d.csv", "file: d.csv, schema: e.csv", `data[0].schema: schema`},
		{"file: d.csv", "file: d.csv, relations: [a <= 1], schema: {shape: [2]}", `data[0].relations[0]: the relation names features, and the records are arrays of shape [2], which have none`},
		{"file: d.csv", "file: d.csv, relations: [rdius <= 1], schema: {complete: true, features: [{name: radius, type: real, min: 0, max: 1}]}", `data[0].relations[0]: the relation names "rdius", which is no feature: did you mean "radius"?`},
		{"file: a.onnx", "file: a.onnx, signature: {file: d.csv}", `models[0].signature: says nothing of who is trusted: name a key, or roots`},
		{"file: a.onnx", "file: a.onnx, signature: {file: d.csv, key: d.csv, roots: d.csv}", `models[0].signature.roots: is there, and key as well: leave one out`},
		{"file: a.onnx", "file: a.onnx, signature: {file: d.csv, key: d.csv, identity: me}", `models[0].signature.identity: is that of a certificate, and a key has none`},
		{"file: a.onnx", "file: a.onnx, signature: {file: e.sig, key: d.csv}", `models[0].signature.file: "e.sig" is not there`},
		{"file: d.csv", "file: d.csv, signature: {file: d.csv, key: ../k.pem}", `data[0].signature.key: "../k.pem" cannot be used`},
		{"file: d.csv", "file: d.csv, signature: {file: d.csv, key: a.onnx, folder: .}", ``},
		{"file: d.csv", "file: d.csv, relations: ['a <= 2*']", `7:51: data[0].relations[0]: here must be a feature or a number, not the end`},
	} {
		_, err := Decode([]byte(strings.Replace(small, c.from, c.to, 1)), filepath.Join(dir, FileName))
		switch {
		case c.from != "" && !strings.Contains(small, c.from):
			t.Fatalf("%q is not in the description", c.from)
		case c.want == "" && err != nil:
			t.Errorf("%s: %v", c.to, err)
		case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)):
			t.Errorf("%s: got\n%v\nwant\n%s", c.to, err, c.want)
		}
	}
}

// TestCheck holds names against a catalogue.
func TestCheck(t *testing.T) {
	s, err := Open(complete)
	if err != nil {
		t.Fatal(err)
	}
	known := Catalogue{
		Goals:     map[string]assay.Cell{"evasion-prevent": {Vulnerability: assay.Evasion, Function: assay.Prevent}},
		Ratings:   map[string][]string{"expertise": {"layman", "expert"}, "opportunity": {"easy"}},
		Attackers: []string{"moderate"}, Metrics: []string{"clean-accuracy-loss"}, Checks: []string{"positive-control", "negative-control"},
	}
	if err := s.Check(known); err != nil {
		t.Error(err)
	}
	if err := s.Check(Catalogue{}); err != nil {
		t.Error(err)
	}
	wrong := Catalogue{
		Goals:   map[string]assay.Cell{"evasion-prevents": {Vulnerability: assay.Evasion, Function: assay.Detect}},
		Ratings: map[string][]string{"expertise": {"layman", "experts"}}, Attackers: []string{"basic"}, Metrics: []string{"latency"}, Checks: []string{"negative-control"},
	}
	err = s.Check(wrong)
	var e *strict.Error
	if !errors.As(err, &e) || len(e.Mistakes) != 5 {
		t.Fatalf("got %v", err)
	}
	for i, want := range []string{`expertise: "expert" is no rating of the catalogue: did you mean experts?`, `goals[0].goal: "evasion-prevent" is no goal of the catalogue: did you mean evasion-prevents?`,
		`profile: "moderate" is no attacker of the catalogue: use basic`, `costs[0].metric: "clean-accuracy-loss" is no metric of the catalogue: use latency`, `checks[0]: "positive-control" is no check of the catalogue: did you mean negative-control?`} {
		if got := e.Mistakes[i].String(); !strings.Contains(got, want) || e.Mistakes[i].Line == 0 {
			t.Errorf("got %s, want %s", got, want)
		}
	}
	wrong.Goals = map[string]assay.Cell{"evasion-prevent": {Vulnerability: assay.Evasion, Function: assay.Detect}}
	if err := s.Check(wrong); err == nil || !strings.Contains(err.Error(), "goals[0].goal: is about evasion/detect, which is none of the cells of the solution adversarial-training") {
		t.Errorf("got %v", err)
	}
}

func TestMissing(t *testing.T) {
	_, err := Open(filepath.Join(t.TempDir(), FileName))
	if err == nil || !strings.Contains(err.Error(), "assay.yaml is not there: write one with assay init") || assay.CodeOf(err) != assay.CodeInput {
		t.Errorf("got %v", err)
	}
	if _, err := Decode([]byte(small), filepath.Join(t.TempDir(), "none", FileName)); err == nil || assay.CodeOf(err) != assay.CodeInput {
		t.Errorf("got %v", err)
	}
}

// FuzzDecode looks for descriptions that make the reader panic or say nothing of use.
func FuzzDecode(f *testing.F) {
	text, err := os.ReadFile(complete)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(text)
	f.Add([]byte(small))
	f.Add([]byte("version: 1\nsystem: {name: [}\n"))
	f.Add([]byte(strings.Replace(small, "file: d.csv", "file: d.csv, relations: ['2*a - b <= 1']", 1)))
	path := filepath.Join(folder(f), FileName)
	f.Fuzz(func(t *testing.T, text []byte) {
		s, err := Decode(text, path)
		var e *strict.Error
		switch {
		case err == nil && (s.Version != 1 || s.About.Name == ""):
			t.Error("a description without a version or a name is taken")
		case err != nil && (!errors.As(err, &e) || len(e.Mistakes) == 0):
			t.Errorf("the error is %v", err)
		}
	})
}

func TestRelationOn(t *testing.T) {
	low, high := 0.0, 1.0
	s := &dataset.Schema{Complete: true, Features: []dataset.Feature{
		{Name: "a", Type: dataset.Real, Min: &low, Max: &high}, {Name: "kind", Type: dataset.Categorical, Categories: []string{"x", "y"}}, {Name: "b", Type: dataset.Integer, Min: &low, Max: &high},
	}}
	r, err := ParseRelation("2*b >= a + 1")
	if err != nil {
		t.Fatal(err)
	}
	of, weights, err := r.On(s)
	if err != nil || !reflect.DeepEqual(of, []int{3, 0}) || !reflect.DeepEqual(weights, []float64{-2, 1}) || r.Bound != -1 {
		t.Errorf("got %v %v %v, %v", of, weights, r.Bound, err)
	}
	if r, err = ParseRelation("kind <= 1"); err != nil {
		t.Fatal(err)
	}
	if _, _, err := r.On(s); err == nil || !strings.Contains(err.Error(), `"kind", which is categorical and so no number`) {
		t.Errorf("got %v", err)
	}
}

// TestDigest: what a description says has a digest, however it is written, and whatever the patience
// with its endpoints.
func TestDigest(t *testing.T) {
	text, err := os.ReadFile(complete)
	if err != nil {
		t.Fatal(err)
	}
	digest := func(from, to string) string {
		t.Helper()
		if !strings.Contains(string(text), from) {
			t.Fatalf("there is no %q", from)
		}
		s, err := Decode([]byte(strings.Replace(string(text), from, to, 1)), complete)
		if err != nil {
			t.Fatal(err)
		}
		return s.Digest()
	}
	want := digest("version: 1", "version: 1")
	for from, to := range map[string]string{"version: 1": "# first\nversion: 1\n", "budget: ": "budget: 1", "timeout: ": "timeout: 1", "attempts: ": "attempts: 1"} {
		if digest(from, to) != want {
			t.Errorf("%q changes what is said", to)
		}
	}
	for from, to := range map[string]string{"provider: Example": "provider: Another", "labels\n": "logits\n", "range: [0,": "range: [1,", "bad-records: ": "bad-records: 1"} {
		if digest(from, to) == want {
			t.Errorf("%q changes nothing", to)
		}
	}
}
