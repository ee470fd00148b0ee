package render

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/url"
	"path/filepath"

	"assay/internal/scan"
)

// What of SARIF 2.1.0 is written (OASIS Standard, 2020), by the names of the specification.

const language = "en-GB"

type sarifLog struct {
	Schema  string     `json:"$schema"`
	Version string     `json:"version"`
	Runs    []sarifRun `json:"runs"`
}

type sarifRun struct {
	Tool             sarifTool     `json:"tool"`
	Results          []sarifResult `json:"results"`
	Language         string        `json:"language"`
	NewlineSequences []string      `json:"newlineSequences"`
}

type sarifTool struct {
	Driver sarifDriver `json:"driver"`
}

type sarifDriver struct {
	Name     string      `json:"name"`
	Language string      `json:"language"`
	Rules    []sarifRule `json:"rules"`
}

type sarifRule struct {
	ID    string    `json:"id"`
	Short sarifText `json:"shortDescription"`
}

type sarifText struct {
	Text string `json:"text"`
}

type sarifResult struct {
	RuleID       string             `json:"ruleId"`
	Kind         string             `json:"kind"`
	Level        string             `json:"level"`
	Message      sarifText          `json:"message"`
	Locations    []sarifLocation    `json:"locations"`
	Fingerprints map[string]string  `json:"partialFingerprints"`
	Suppressions []sarifSuppression `json:"suppressions,omitempty"`
	Properties   map[string]any     `json:"properties"`
}

type sarifSuppression struct {
	Kind          string `json:"kind"`
	Justification string `json:"justification"`
}

type sarifLocation struct {
	Physical sarifPhysical  `json:"physicalLocation"`
	Logical  []sarifLogical `json:"logicalLocations,omitempty"`
}

type sarifPhysical struct {
	Artifact sarifArtifact `json:"artifactLocation"`
	Region   *sarifRegion  `json:"region,omitempty"`
}

type sarifArtifact struct {
	URI string `json:"uri"`
}

type sarifRegion struct {
	ByteOffset int64 `json:"byteOffset"`
}

type sarifLogical struct {
	FullyQualifiedName string `json:"fullyQualifiedName"`
}

// SARIF writes a report as a SARIF log with one run. What keeps a file undecided is a
// result of kind "open"; what is ignored is there as suppressed.
func SARIF(w io.Writer, r *Report, rules []scan.Rule) error {
	run := sarifRun{Tool: sarifTool{sarifDriver{Name: "Assay", Language: language, Rules: []sarifRule{}}}, Results: []sarifResult{}, Language: language, NewlineSequences: []string{"\n"}}
	for _, rule := range rules {
		run.Tool.Driver.Rules = append(run.Tool.Driver.Rules, sarifRule{rule.ID, sarifText{rule.Title + "."}})
	}
	for _, f := range r.Files {
		for _, x := range f.Findings {
			run.Results = append(run.Results, result(x))
		}
	}
	for _, x := range r.Summary.Ignored {
		one := result(x.Finding)
		one.Suppressions = []sarifSuppression{{"external", fmt.Sprintf("%s (until %s)", x.Reason, x.Expires)}}
		run.Results = append(run.Results, one)
	}
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(sarifLog{"https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json", "2.1.0", []sarifRun{run}})
}

func result(x scan.Finding) sarifResult {
	kind, level := "fail", "error"
	switch x.Severity {
	case scan.Unknown: // the specification allows no level beside another kind than fail
		kind, level = "open", "none"
	case scan.Medium:
		level = "warning"
	case scan.Low:
		level = "note"
	}
	location := sarifLocation{Physical: sarifPhysical{Artifact: sarifArtifact{(&url.URL{Path: filepath.ToSlash(x.Place.File)}).String()}}}
	if x.Place.Entry == "" {
		location.Physical.Region = &sarifRegion{x.Place.Offset}
	} else {
		location.Logical = []sarifLogical{{x.Place.Entry}}
	}
	sum := sha256.Sum256([]byte(x.Rule + "\x00" + x.Place.File + "\x00" + x.Place.Entry + "\x00" + x.Message))
	return sarifResult{RuleID: x.Rule, Kind: kind, Level: level, Message: sarifText{x.Message + " " + x.Remedy}, Locations: []sarifLocation{location},
		Fingerprints: map[string]string{"finding/v1": hex.EncodeToString(sum[:16])},
		Properties:   map[string]any{"severity": x.Severity, "entry": x.Place.Entry, "offset": x.Place.Offset, "node": x.Place.Node}}
}
