package model_test

import (
	"reflect"
	"strings"
	"testing"

	"assay/internal/model"
	"assay/onnx"
)

func TestDefenceAgain(t *testing.T) {
	want := &model.Defence{
		Reject: true, StraightThrough: []string{"round", "/a/Floor"},
		Random: []model.RandomInput{
			{Input: "noise", Distribution: model.Normal, Deviation: 0.25},
			{Input: "shift", Distribution: model.Uniform, Low: -1, High: 2},
		},
		Smoothing: &model.Smoothing{Sigma: 0.5, N0: 100, N: 1000, Alpha: 0.001, Batch: 64},
	}
	m := &onnx.Model{Metadata: map[string]string{"other": "stays"}}
	if err := want.Write(m); err != nil {
		t.Fatal(err)
	}
	got, err := model.ReadDefence(m)
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(got, want) || !got.Any() {
		t.Errorf("read is %+v, written was %+v", got, want)
	}
	if err := (&model.Defence{}).Write(m); err != nil || len(m.Metadata) != 1 || m.Metadata["other"] != "stays" {
		t.Errorf("after nothing is written there is %v (%v)", m.Metadata, err)
	}
	if got, err := model.ReadDefence(m); err != nil || got.Any() {
		t.Errorf("a model without entries has %+v (%v)", got, err)
	}
}

func TestDefenceErrors(t *testing.T) {
	for _, c := range []struct{ entry, text, want string }{
		{model.RejectEntry, "first", `only "last"`},
		{model.StraightThroughEntry, " ", "names no node"},
		{model.StraightThroughEntry, "a b a", `"a" is named twice`},
		{model.RandomEntry, "[]", "names no input"},
		{model.RandomEntry, "{}", "not as it must be"},
		{model.RandomEntry, `[{"input":"a","distribution":"normal","deviation":1}] x`, "follows"},
		{model.RandomEntry, `[{"input":"a","distribution":"normal"}]`, "deviation above 0"},
		{model.RandomEntry, `[{"input":"a","distribution":"uniform","low":1,"high":1}]`, "low end below"},
		{model.RandomEntry, `[{"input":"a","distribution":"uniform","low":-1e300,"high":1}]`, "no number"},
		{model.RandomEntry, `[{"input":"a","distribution":"laplace"}]`, "not known"},
		{model.RandomEntry, `[{"input":"","distribution":"uniform","high":1}]`, "no name"},
		{model.RandomEntry, `[{"input":"a","distribution":"uniform","high":1,"more":1}]`, "more"},
		{model.SmoothingEntry, `null`, "no settings"},
		{model.SmoothingEntry, `{"sigma":0,"n0":1,"n":1,"alpha":0.1,"batch":1}`, "sigma is 0"},
		{model.SmoothingEntry, `{"sigma":1,"n0":1,"n":999999999,"alpha":0.1,"batch":1}`, "n 999999999"},
		{model.SmoothingEntry, `{"sigma":1,"n0":1,"n":1,"alpha":1,"batch":1}`, "alpha is 1"},
		{model.SmoothingEntry, `{"sigma":1,"n0":1,"n":1,"alpha":0.1}`, "batch is 0"},
		{model.SmoothingEntry, strings.Repeat(" ", 2<<20), "bytes"},
	} {
		_, err := model.ReadDefence(&onnx.Model{Metadata: map[string]string{c.entry: c.text}})
		if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), c.entry) {
			t.Errorf("%s of %.60q gives %v, without %q", c.entry, c.text, err, c.want)
		}
	}
	if err := (&model.Defence{StraightThrough: []string{"a b"}}).Write(&onnx.Model{}); err == nil {
		t.Error("a name with a space is written")
	}
}

// FuzzDefence holds that reading ends without a panic, and that what was read is written and read the same.
func FuzzDefence(f *testing.F) {
	f.Add("last", "a b", `[{"input":"a","distribution":"normal","deviation":1}]`, `{"sigma":1,"n0":1,"n":1,"alpha":0.1,"batch":1}`)
	f.Add("", "", "[", "{")
	f.Add("last", "a", `[{"input":"a","distribution":"uniform","low":-1,"high":1}]`, "null")
	f.Fuzz(func(t *testing.T, reject, straight, random, smoothing string) {
		for _, entries := range []map[string]string{
			{model.RejectEntry: reject}, {model.StraightThroughEntry: straight}, {model.RandomEntry: random}, {model.SmoothingEntry: smoothing},
		} {
			first, err := model.ReadDefence(&onnx.Model{Metadata: entries})
			if err != nil {
				continue
			}
			m := &onnx.Model{}
			if err := first.Write(m); err != nil {
				t.Fatalf("%v was read and cannot be written: %v", entries, err)
			}
			if again, err := model.ReadDefence(m); err != nil || !reflect.DeepEqual(again, first) {
				t.Fatalf("%v became %+v and then %+v (%v)", entries, first, again, err)
			}
		}
	})
}
