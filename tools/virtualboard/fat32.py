"""stub geometry"""
