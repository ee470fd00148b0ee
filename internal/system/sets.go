package system

import (
	"fmt"
	"reflect"

	"assay"
	"assay/internal/criteria"
	"assay/internal/dataset"
	"assay/internal/model"
	"assay/internal/model/remote"
	"assay/internal/strict"
)

// Exposure says who can reach a system.
type Exposure string

// The kinds of exposure.
const (
	Public   Exposure = "public"
	Partners Exposure = "partners"
	Internal Exposure = "internal"
)

// Role says what data are used for.
type Role string

// The roles of data.
const (
	Test       Role = "test"
	Training   Role = "training"
	Validation Role = "validation"
	Reference  Role = "reference" // such as what a detector is set up with
)

// Norm measures a perturbation.
type Norm string

// The norms.
const (
	Linf Norm = "Linf"
	L2   Norm = "L2"
	L1   Norm = "L1"
	L0   Norm = "L0" // how many features change, of an image how many pixels

	Words Norm = "words" // the share of a text's words that change
)

// Unit is what the size of a perturbation counts in.
type Unit string

// The units of eps.
const (
	Raw   Unit = "raw"   // the data's own
	Share Unit = "range" // of what a feature can be: its maximum less its minimum
	Std   Unit = "std"   // a feature's standard deviation in the data
)

// Sets are the closed sets of names that a description is written in.
func Sets() strict.Sets {
	sets := strict.Sets{}
	add(sets, Public, Partners, Internal)
	add(sets, Test, Training, Validation, Reference)
	add(sets, Logistic, MLP, CNN)
	add(sets, Linf, L2, L1, L0, Words)
	add(sets, dataset.Increasing, dataset.Decreasing)
	add(sets, Raw, Share, Std)
	add(sets, assay.Vulnerabilities()...)
	add(sets, assay.Cells()...)
	add(sets, assay.Relations()...)
	add(sets, assay.Modalities()...)
	add(sets, assay.Levels()...)
	add(sets, assay.Accesses()...)
	add(sets, assay.Stages()...)
	add(sets, assay.Kinds()...)
	add(sets, criteria.Fixed, criteria.Sequential, criteria.Census)
	add(sets, dataset.Real, dataset.Integer, dataset.Categorical, dataset.Boolean)
	add(sets, model.Tabular, model.NCHW, model.NHWC, model.Other)
	add(sets, model.Logits, model.Probabilities, model.Labels)
	add(sets, remote.V2REST, remote.V2GRPC, remote.TensorFlowServing, remote.JSON)
	return sets
}

func add[T any](sets strict.Sets, all ...T) {
	for _, name := range all {
		t := reflect.TypeFor[T]()
		sets[t] = append(sets[t], fmt.Sprint(name))
	}
}
