package trees

import (
	"bytes"
	"context"
	"encoding/binary"
	"regexp"

	"assay/internal/scan"
)

// XGBoost recognises the binary format that XGBoost wrote before JSON and UBJSON, and that
// it does not read any more since 3.1. It is memory written as it stood, with lengths that
// XGBoost believed, so it is not decided.
type XGBoost struct{}

// Describe names the format and its rule.
func (XGBoost) Describe() scan.Description {
	return scan.Description{Name: "xgboost", Title: "XGBoost model in its former binary format", Rules: []scan.Rule{{ID: "xgboost-binary", Title: "The file is in a format that XGBoost gave up"}}}
}

// learnerBytes are those of LearnerModelParamLegacy, which stands before the name of the objective.
const learnerBytes = 136

var objective = regexp.MustCompile(`^(?:reg|binary|multi|rank|count|survival):[a-z_:]+`)

// Match reports the mark of the format, or the name of an objective at its place.
func (XGBoost) Match(p scan.Probe) bool {
	h, marked := bytes.CutPrefix(p.Head, []byte("binf"))
	if len(h) < learnerBytes+8 {
		return marked
	}
	n := binary.LittleEndian.Uint64(h[learnerBytes:])
	return n > 4 && n < 64 && uint64(len(h)) >= learnerBytes+8+n && objective.Match(h[learnerBytes+8:][:n])
}

// Scan says that it is not decided.
func (XGBoost) Scan(_ context.Context, f *scan.File, r *scan.Report) error {
	r.AccountsForAll()
	r.Undecided("xgboost-binary", f.Place(0, ""), "It is in XGBoost's former binary format, whose reader trusted the lengths in it.", "Save the model as JSON or UBJSON with an XGBoost before 3.1, and scan that.")
	return nil
}
