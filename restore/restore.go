// Package restore brings a gateway's configuration back from whatever the locations still hold.
package restore
