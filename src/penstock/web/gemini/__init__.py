"""Google's generateContent, spoken on chat endpoints."""
